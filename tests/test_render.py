"""A renderer is a tokenizer and a template: no model is made here."""

import pickle
from functools import partial

import pytest
from transformers import AutoTokenizer

from agents.example import Example
from agents.pocket import SHIPPED
from agents.render import Renderer
from clarify_env.costs import Costs
from clarify_env.games.base import View
from clarify_env.games.clarification.facts import AssistantFacts
from clarify_env.games.clarification.prompts import messages
from trainers.learning.loss import collate

FACTS = AssistantFacts("Who designed Ashford?", "", Costs(0.25, 0.03), "train/0")
VIEW = View("assistant", (), FACTS, 0)


@pytest.fixture(scope="module")
def renderer():
    return Renderer(AutoTokenizer.from_pretrained(SHIPPED["almanac"]), partial(messages, style="pocket"))


def test_a_prompt_is_the_template_around_the_chat(renderer):
    system, user = (message["content"] for message in messages(VIEW, "pocket"))
    text = renderer.tokenizer.decode(renderer.encode(VIEW))
    assert text == f"<|system|>{system}<|end|><|user|>{user}<|end|><|assistant|>"


def test_a_batch_is_rendered_as_each_view_alone(renderer):
    views = [VIEW._replace(facts=FACTS._replace(query=query)) for query in ("Who?", "When was Ashford built?", "Who?")]
    assert renderer.encode_all(views) == [renderer.encode(view) for view in views]


@pytest.mark.parametrize("text", ["#ANSWER Ada Brandt", "#MULTI_ANS\nfilm: 1904\nbank: 0.23", "", "ä, 漢, 🙂"])
def test_a_reply_comes_back_as_it_was(renderer, text):
    ids = renderer.tokenize_reply(text)
    assert ids[-1] == renderer.end_id
    assert renderer.decode(ids) == text == renderer.decode(ids[:-1]), "with and without its end of turn"


def test_any_chat_will_do(renderer):
    other = Renderer(renderer.tokenizer, lambda view: [{"role": "user", "content": f"You are {view.role}.<|end|>"}])
    assert renderer.tokenizer.decode(other.encode(VIEW)) == "<|user|>You are assistant. <|end|><|assistant|>"


def test_an_opening_has_no_end_and_leaves_room(renderer):
    ids = renderer.opening("#ANSWER", 8)
    assert renderer.decode(ids) == "#ANSWER" and renderer.end_id not in ids
    assert renderer.opening("", 1) == ()
    with pytest.raises(ValueError, match=r"^user\.max_new_tokens=1 leaves no room after the opening '#ANSWER'$"):
        renderer.opening("#ANSWER", 1, "user.max_new_tokens")


def test_it_travels_to_another_process(renderer):
    assert pickle.loads(pickle.dumps(renderer)).encode(VIEW) == renderer.encode(VIEW)


def test_reasoning_that_a_prompt_opens_is_read_and_not_learned():
    """The block is closed in the prompt, and an update's loss is on the reply alone."""
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["almanac"])
    tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% else %}{# </think> #}{% endif %}"
    renderer = Renderer(tokenizer, partial(messages, style="pocket"))
    example = Example(renderer.encode(VIEW), renderer.tokenize_reply("#ANSWER Ada Brandt"))
    assert tokenizer.decode(example.prompt_ids).endswith("<|assistant|><think>\n\n</think>\n\n")
    batch = collate([example], renderer.pad_id)
    learned = batch["labels"][batch["weights"] != 0]
    assert tokenizer.decode(learned) == "#ANSWER Ada Brandt<|end|>"
    (note,) = renderer.notes
    assert note.startswith("assistant.model: ") and "game.reasoning" in note
