"""The card of a checkpoint, and its snippet in plain transformers."""

import ast
import json
import re
from functools import partial

import pytest
import yaml
from conftest import SMALL
from families import FAMILIES, tokenizer
from transformers import GenerationConfig

from agents.render import Renderer
from clarify_env.games.clarification.description import GAME
from trainers import sft
from trainers.reporting.card import base_id, fence

QUICK = ["eval.sets=[between]", "eval.modes=[greedy]", "eval.grid=2"]


def python_of(card):
    """The snippet of a card."""
    return re.search(r"^(`{3,})python\n(.*?)^\1$", card, re.DOTALL | re.MULTILINE)[2]


@pytest.mark.slow
def test_the_snippet_prints_the_message_of_the_run(command, tmp_path, monkeypatch, capsys):
    trained = tmp_path / "run"
    folder = trained / "checkpoints/iteration-1"
    monkeypatch.setattr(sft, "validate", lambda *_, **__: None)
    assert command(sft, *SMALL, *QUICK, "budget.games=8", "update.least_steps=0", f"run_dir={trained}")[0] == 0
    card, summary = (folder / "README.md").read_text(), json.loads((trained / "summary.json").read_text())
    _, header, text = card.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["clarify-env", "clarification", "almanac", "sft"],
    }
    entry = summary["eval"]["between"]["greedy"]
    assert f"| between | greedy | {entry['reward']:.3f} |".replace("-", "−") in text.replace("-", "−")
    assert "{{" not in card and "None" not in card
    code = python_of(card)
    imported = [node.module for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    assert imported == ["transformers"], "nothing of this project is needed"
    capsys.readouterr()
    exec(code, {})
    transcripts = [json.loads(line) for line in (trained / "transcripts.jsonl").read_text().splitlines()]
    greedy = next(game for game in transcripts if game["mode"] == "greedy")
    assert capsys.readouterr().out == greedy["turns"][0][1] + "\n"
    settings = GenerationConfig.from_pretrained(folder)
    assert (settings.do_sample, settings.temperature, settings.top_k, settings.top_p) == (True, 1.0, 0, 1.0)
    assert settings.eos_token_id == [1] and settings.max_new_tokens == 48


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_renders_the_prompt_of_every_family(family, almanac):
    tokens = tokenizer(family)
    renderer = Renderer(tokens, partial(GAME.chat, style="natural"))
    view = GAME.deal(almanac, almanac.episode("train", 0), 0, (0.3, 0.04)).view("assistant")
    prompt = renderer.plain(view)
    text = tokens.apply_chat_template(prompt.messages, tokenize=False, add_generation_prompt=True, **prompt.variables)
    assert text + prompt.opening == renderer.text(view)


CARD_OF_A_CHECKPOINT = "---\nbase_model: OWNER/NAME\nlibrary_name: transformers\n---\n\n# A card\n"
BASES = [
    ("OWNER/NAME", None, "OWNER/NAME", "a hub id"),
    ("smollm2", None, "HuggingFaceTB/SmolLM2-135M-Instruct", "the model of the package"),
    ("pocket", None, None, "made here"),
    ("FOLDER", CARD_OF_A_CHECKPOINT, "OWNER/NAME", "of a checkpoint, what that was made from"),
    ("FOLDER", None, None, "a folder without a card"),
    ("FOLDER", "# A card\n", None, "without a header"),
    ("FOLDER", "---\n: [\n---\n", None, "with one that is no YAML"),
    ("FOLDER", "---\nbase_model: [OWNER/A, OWNER/B]\n---\n", None, "a merge of several"),
]


@pytest.mark.parametrize(("model", "text", "base", "why"), BASES, ids=[why for *_, why in BASES])
def test_the_base_model(tmp_path, model, text, base, why):
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    assert base_id(str(tmp_path) if model == "FOLDER" else model, "almanac") == base, why


@pytest.mark.parametrize(
    ("text", "expected"), [("a", "```"), ("a ``b``", "```"), ("```\n", "````"), ("`````", "``````")]
)
def test_no_text_ends_its_fence(text, expected):
    assert fence(text) == expected
