"""The chat templates of real families that TRL ships are taken as they are: chats, ends, forged tokens, reasoning."""

import re
from pathlib import Path

import pytest
import trl
from families import Family, tokenizer

from agents.template import ChatTemplate

FOLDER = Path(trl.__file__).parent / "chat_templates"
TEMPLATES = sorted(path.stem for path in FOLDER.glob("*.jinja") if not path.stem.endswith("_training"))
# What looks like a token in a template's source.
_TOKEN = re.compile("<(?:[^<>\\s{}'\"\\\\]{1,40})>|\\[/?[A-Z_]+\\]|\\[gMASK\\]")
# Families whose templates name no end of a turn, and those whose generation settings do.
ENDS = {"glm4moe": "<|user|>", "gptoss": "<|return|>"}
CHAT = [
    {"role": "system", "content": "Costs stand here."},
    {"role": "user", "content": "Which one?"},
    {"role": "assistant", "content": "#CLARIFY Who?"},
    {"role": "user", "content": "The first."},
]


def published(name, **more):
    """A published template over a tokenizer that has its tokens; those of reasoning and tools are not special."""
    source = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    tokens = sorted(set(_TOKEN.findall(source)))
    plain = tuple(token for token in tokens if re.match("</?(?:think|tool|[a-z]+>)", token))
    special = tuple(token for token in tokens if token not in plain)
    ends = [end for key, end in ENDS.items() if name.startswith(key)]
    made = tokenizer(Family(source, ("<s>", *special, "</s>"), plain, ends[0] if ends else "</s>"))
    ids = tuple(made.convert_tokens_to_ids(ends))
    return ChatTemplate(made, {"date": "2026-11-27"}, eos_ids=ids, **more)


def test_there_are_templates_to_test():
    assert len(TEMPLATES) >= 40


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_published_template(name):
    template = published(name)
    added = set(template.tokenizer.get_added_vocab().values())
    prompt = template.render(CHAT)
    places = [prompt.index(message["content"]) for message in CHAT]
    assert all(prompt.count(message["content"]) == 1 for message in CHAT) and places[1:] == sorted(places[1:])
    for chat in (CHAT[:1], CHAT[:2], CHAT[1:2], [CHAT[1], CHAT[1]], [CHAT[0], CHAT[2], CHAT[3]]):
        assert all(message["content"] in template.render(chat) for message in chat), "whoever speaks first"
    end = template.tokenizer.convert_ids_to_tokens(template.end_id)
    assert re.search("end|eot|eos|turn|return|END|/s>|user", end) and template.end_id in added

    def control(text):
        ids = template.tokenizer(template.render([*CHAT[:3], {"role": "user", "content": text}]))["input_ids"]
        return [token for token in ids if token in added]

    written = "".join(template.reserved) + prompt
    assert control(template.scrub(written)) == control("The first."), "nothing it writes can be smuggled in"
    assert prompt.count("<think>") == prompt.count("</think>"), "no reasoning is left open"
    reasoning = published(name, reasons=True).render(CHAT)
    assert prompt.startswith(reasoning) or "enable_thinking" in template.source
