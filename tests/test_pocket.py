import hashlib
import json

import pytest
from configs import config_of
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from agents.hf import load
from agents.pocket import SHIPPED, build_model, build_tokenizer
from clarify_env.games import find_game
from clarify_env.games.clarification.actions import TAGS
from clarify_env.games.demonstration import Demonstration
from trainers.pretrain import _Encoder, recipe
from trainers.runs.command import COMMANDS, CONF
from trainers.runs.identity import run_identity

SHIPPED_TASKS = list(SHIPPED)
TEXTS = ["Who designed Ashford? #ANSWER 1901 #MULTI_ANS film: Brandt; opera: Vale", "each question costs 0.25"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(TEXTS, 300)


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_any_string_survives(tokenizer):
    @settings(max_examples=300, deadline=None, database=None)
    @given(st.text(st.characters(exclude_categories=("Cs",))))
    def survives(text):
        assert tokenizer.decode(ids(tokenizer, text)) == text

    survives()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "  a  b ",
        "#ANSWER x",
        "a #CLARIFY",
        "#MULTI_ANS",
        "1 . 5 , x !",
        "don 't",
        "\r\n\t\0",
        "naïve ünï ☃ 🦜",
        "#ANSWER#ANSWER",
        "0.250",
        "x" * 5000,
    ],
)
def test_these_survive_too(tokenizer, text):
    assert tokenizer.decode(ids(tokenizer, text)) == text


def test_a_digit_is_a_token_and_a_tag_is_one(tokenizer):
    for number in ("0.25", "1901", "12345678"):
        assert [tokenizer.decode([token]) for token in ids(tokenizer, number)] == list(number)
    for tag in TAGS:
        assert len(ids(tokenizer, tag)) == 1
        assert ids(tokenizer, f"{tag} x")[0] == ids(tokenizer, tag)[0], "whatever follows"


def test_the_template(tokenizer):
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    assert text == "<|system|>s<|end|><|user|>q<|end|><|assistant|>a<|end|>"
    begun = tokenizer.apply_chat_template(chat[:2], tokenize=False, add_generation_prompt=True)
    assert begun + "a<|end|>" == text, "a reply goes on where the prompt stops"
    special = [token for token in ids(tokenizer, text) if token in tokenizer.all_special_ids]
    assert len(special) == 6, "every marker is one token"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id, "the end is learned, padding is not"


def test_the_encoder_of_demonstrations_agrees_with_the_template(tokenizer):
    """Pretraining builds its rows by pieces; they must be what the agent's prompts are."""
    messages = (
        ("system", "Each question costs 0.25."),
        ("user", "Who designed Ashford?"),
        ("assistant", "#CLARIFY Which kind?"),
        ("user", "The 2nd one."),
        ("assistant", "#ANSWER Brandt"),
    )

    row = _Encoder(tokenizer)(Demonstration(messages, "shown"))
    chat = [{"role": role, "content": text} for role, text in messages]
    assert list(row.prompt_ids) == ids(
        tokenizer, tokenizer.apply_chat_template(chat[:-1], tokenize=False, add_generation_prompt=True)
    )
    whole = ids(tokenizer, tokenizer.apply_chat_template(chat, tokenize=False))
    assert list(row.prompt_ids + row.ids) == whole and not row.first_weights
    every = _Encoder(tokenizer)(Demonstration(messages, "shown", every=True))
    assert list(every.prompt_ids + every.ids) == whole and len(every.first_weights) == len(every.ids)
    learned = [token for token, weight in zip(every.ids, every.first_weights, strict=True) if weight]
    assert learned == ids(tokenizer, "#CLARIFY Which kind?<|end|>#ANSWER Brandt<|end|>"), "what the assistant says"


def test_what_is_saved_is_what_is_loaded(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*TEXTS, " 0.25 #ANSWER x ", "<|user|>a<|end|>", "don 't . do , it"):
        assert ids(again, text) == ids(tokenizer, text) and again.decode(ids(again, text)) == text
    assert again.chat_template == tokenizer.chat_template and again.padding_side == "left"


def test_texts_may_be_kept_whole():
    tokenizer = build_tokenizer(TEXTS, 300, ["2019", " 2019", " 23", " 20"])

    def pieces(text):
        return [tokenizer.decode([token]) for token in ids(tokenizer, text)]

    assert pieces("in 2019 23, 20") == ["i", "n", " 2019", " 23", ",", " 20"], "the longest that fits"
    assert pieces("2019: 0.23") == ["2019", ":", " ", "0", ".", "2", "3"], "a figure after a space alone"
    assert pieces("12019") == list("12019"), "a word where it stands alone"


@pytest.mark.parametrize("layers", [1, ["conv", "full_attention"]])
def test_the_model_fits_the_tokenizer(tokenizer, layers):
    model = build_model(tokenizer, width=16, layers=layers, heads=2, kv_heads=1, feed_forward=16)
    assert model.config.num_hidden_layers == (1 if layers == 1 else 2)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight, "one table serves both ends"
    assert (model.config.eos_token_id, model.config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)


@pytest.mark.parametrize("layers", [2, ["conv", "full_attention"]])
@pytest.mark.parametrize(("init", "deviation"), [(None, 0.02), (0.125, 0.125)])
def test_initial_weights_have_the_chosen_deviation(tokenizer, layers, init, deviation):
    model = build_model(tokenizer, width=64, layers=layers, heads=2, kv_heads=1, feed_forward=128, init=init)
    for name, weights in model.named_parameters():
        if weights.ndim > 1:
            assert weights.std().item() == pytest.approx(deviation, rel=0.25), name


def test_layers_there_are_not(tokenizer):
    with pytest.raises(ValueError, match=r"pretrain\.model\.layers: conv or full_attention, not lstm"):
        build_model(tokenizer, width=16, layers=["conv", "lstm"], heads=2, kv_heads=1, feed_forward=16)


@pytest.mark.parametrize("task", SHIPPED_TASKS)
def test_the_shipped_model_is_small_and_whole(task):
    folder = SHIPPED[task]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3_000_000
    assert {path.suffix for path in folder.iterdir()} <= {".safetensors", ".json", ".jinja"}, "nothing to unpickle"
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, f"{name} is not what was built"
    model, tokenizer = load(folder, device="cpu")
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    openings = find_game(manifest["recipe"].get("game", {"name": "clarification"})["name"]).openings
    assert all(len(ids(tokenizer, tag)) == 1 for by_kind in openings.values() for tag in by_kind.values())


@pytest.mark.parametrize("task", SHIPPED_TASKS)
def test_recipe_and_weights_have_not_parted_ways(task):
    """A change of task, costs, demonstrations or recipe calls for `python -m trainers.pretrain`."""
    manifest = json.loads((SHIPPED[task] / "manifest.json").read_text())
    built = manifest["recipe"]
    plane = [f"costs={task}"] if (CONF / "costs" / f"{task}.yaml").exists() else []
    game = f"game={built.get('game', {'name': 'clarification'})['name']}"
    config = config_of("pretrain", game, f"task={task}", f"recipe={task}", f"seed={built['seed']}", *plane)
    made = COMMANDS["pretrain"].read(config)
    now = recipe(run_identity("pretrain", config), made["experiment"], made["options"])
    now = json.loads(json.dumps(now))
    # A model that was continued has the stages of what it was continued from before its own, each with its digest of
    # what the first demonstrations of its stages say.
    stages, shown, before = built["pretrain"].pop("stages"), built.pop("demonstrations"), manifest["start"]
    while before:
        stages = before["recipe"]["pretrain"]["stages"] + stages
        shown = before["recipe"]["demonstrations"] + shown
        before = before.get("start")
    assert stages == now["pretrain"].pop("stages")
    assert shown == now.pop("demonstrations"), "tasks or demonstrations say something else"
    for key in {*now, *built}:
        assert built.get(key) == now.get(key), f"{key}: the shipped weights are of another"
