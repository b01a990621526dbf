"""Kinds of players: a block of options a role, one model for all who share it."""

import pickle
import re

import pytest

from agents import hf, kinds
from agents.kinds import Policy, make_players
from agents.models import Models, model_path
from agents.options import HF, Scripted, Self
from agents.pocket import SHIPPED
from clarify_env.costs import Costs
from clarify_env.games.base import View
from clarify_env.games.clarification.description import GAME
from clarify_env.games.clarification.facts import AssistantFacts
from clarify_env.games.clarification.prompts import messages
from clarify_env.options import read

VIEW = View("assistant", (), AssistantFacts("Who designed Ashford?", "", Costs(0.25, 0.03), "train/0"), 0)


@pytest.fixture
def loads(monkeypatch, tiny):
    """Every path and option that a model was loaded by; each is another model object."""
    seen = []

    def load(path, *, option, **options):
        seen.append((str(path), option, options["revision"], options["device"]))
        return pickle.loads(pickle.dumps(tiny))

    monkeypatch.setattr(hf, "load", load)
    return seen


def test_scripted_players_are_the_games(almanac):
    blocks = {"assistant": Scripted("guess"), "user": Scripted()}
    agents = make_players(blocks, GAME, almanac, models=Models(), game_options={"max_questions": 1})
    assert [(role, agent.name) for role, agent in agents.items()] == [("assistant", "guess"), ("user", "scripted")]
    assert agents["assistant"].max_questions == 1
    assert make_players({"assistant": Scripted()}, GAME, almanac, models=Models())["assistant"].name == "oracle"


def test_a_model_is_loaded_once_for_all_who_share_it(almanac, loads):
    models, blocks = Models(), {"assistant": HF("a"), "user": HF("a"), "judge": HF("a", device="cpu")}
    agents = make_players(blocks, GAME, almanac, models=models)
    make_players(blocks, GAME, almanac, models=models)
    assert loads == [("a", "assistant.model", None, None), ("a", "judge.model", None, "cpu")]
    assert agents["assistant"].sampler.model is agents["user"].sampler.model is not agents["judge"].sampler.model


def test_every_role_has_its_own_style_length_and_device(almanac, loads):
    blocks = {
        "assistant": HF("pocket", style="pocket", max_new_tokens=48, name="pocket"),
        "user": HF("chat", revision="abc", device="cpu", max_new_tokens=20, temperature=0.5),
    }
    agents = make_players(blocks, GAME, almanac, models=Models(), batch=7)
    assert loads == [
        (str(SHIPPED["almanac"]), "assistant.model", None, None),
        ("chat", "user.model", "abc", "cpu"),
    ]
    assistant, user = agents["assistant"], agents["user"]
    assert (assistant.name, user.name) == ("pocket", "hf")
    assert (assistant.sampler.max_new_tokens, user.sampler.max_new_tokens) == (48, 20)
    assert (user.sampler.temperature, user.sampler.batch) == (0.5, 7)
    assert assistant.renderer.chat(VIEW) == messages(VIEW, "pocket")
    assert user.renderer.chat(VIEW) == messages(VIEW, "zero_shot"), "the rules are written out for a chat model"
    assert pickle.loads(pickle.dumps(user)).renderer.chat(VIEW) == messages(VIEW, "zero_shot")


def test_the_policy_plays_its_roles_and_those_of_kind_self(almanac, tiny, loads):
    blocks = {"assistant": HF("a", style="pocket", max_new_tokens=9, name="pocket"), "user": Self(temperature=0.3)}
    policy = Policy(*tiny, temperature=0.0, roles=("assistant",))
    agents = make_players(blocks, GAME, almanac, models=Models(), policy=policy)
    assert loads == [], "the policy is at hand"
    assert [a.sampler.model is tiny[0] for a in agents.values()] == [True, True]
    assert [(a.name, a.sampler.temperature) for a in agents.values()] == [("pocket", 0.0), ("self", 0.3)]
    assert [(a.sampler.max_new_tokens, a.renderer.chat(VIEW)) for a in agents.values()] == [
        (9, messages(VIEW, "pocket"))
    ] * 2


BAD = [
    ({"user": Self()}, r"^user\.kind=self needs a language model", "no policy"),
    (
        {"user": Scripted(kind="robot")},
        r"^user\.kind must be one of scripted, hf, self, api, not 'robot'",
        "no such kind",
    ),
    ({"judge": Scripted()}, r"^judge\.kind: game clarification has no scripted player for judge", "a role without"),
    ({"assistant": Scripted("win")}, r"^assistant\.strategy must be one of oracle, .*, not 'win'", "no such strategy"),
]


@pytest.mark.parametrize(("blocks", "error", "why"), BAD, ids=[why for *_, why in BAD])
def test_what_cannot_be_is_named_by_role(almanac, loads, blocks, error, why):
    with pytest.raises(ValueError, match=error):
        make_players(blocks, GAME, almanac, models=Models())


OUT_OF_RANGE = [
    ("hf", {"model": "a", "max_new_tokens": 0}, "user.max_new_tokens must be a whole number in [1, 100000], not 0"),
    ("hf", {"model": "a", "temperature": -1.0}, "user.temperature must be a number of at least 0, not -1.0"),
    ("hf", {}, "user.model is missing: it must be text"),
    ("self", {"temperature": -1}, "user.temperature must be a number of at least 0, not -1"),
    ("self", {"model": "a"}, "there is no option user.model; known: user.temperature, user.name, user.kind"),
    ("scripted", {"strategy": [3]}, "user.strategy must be text or null, not [3]"),
]


@pytest.mark.parametrize(("kind", "values", "sentence"), OUT_OF_RANGE)
def test_a_block_out_of_range_is_refused_when_it_is_read(kind, values, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        read(kinds.KINDS[kind].options, values, "user")


def test_only_a_language_model_learns(almanac, tiny):
    policy = Policy(*tiny, temperature=1.0, roles=("assistant",))
    with pytest.raises(ValueError, match=r"^assistant\.kind must be hf.* not 'scripted'"):
        make_players({"assistant": Scripted()}, GAME, almanac, models=Models(), policy=policy)


def test_pocket_is_the_model_shipped_for_the_task():
    assert model_path("pocket", "almanac") == SHIPPED["almanac"]
    assert model_path("some/model", "sql") == "some/model"
    with pytest.raises(ValueError, match=r"^user\.model: no embedded model is made for task sql; .* user\.model=F"):
        model_path("pocket", "sql", "user.model")


def test_a_model_that_is_not_there_is_named_by_role(almanac, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"^user\.model: cannot load '/nowhere'"):
        make_players({"user": HF("/nowhere")}, GAME, almanac, models=Models())


@pytest.mark.parametrize(
    ("style", "own", "warned"), [("pocket", True, True), ("pocket", False, False), ("natural", True, False)]
)
def test_a_chat_model_in_the_style_of_the_pocket_model_is_named(almanac, loads, tiny, caplog, style, own, warned):
    model, tokenizer = pickle.loads(pickle.dumps(tiny))
    if own:
        tokenizer.chat_template = "\n" + tokenizer.chat_template.replace("<|end|>", "<|end|>\n")
    blocks = {"assistant": HF("models/mine", style=style, max_new_tokens=48)}
    policy = Policy(model, tokenizer, temperature=1.0, roles=("assistant",))
    with caplog.at_level("WARNING"):
        make_players(blocks, GAME, almanac, models=Models(), policy=policy)
    advice = "assistant=hf assistant.model=models/mine prompts=natural plays it with natural prompts"
    assert (advice in caplog.text) == warned


# Generation settings of a model; what is said of them.
SETTINGS = [
    ({"top_p": 0.9, "do_sample": True}, "top_p=0.9"),
    ({"forced_eos_token_id": 1}, "forced_eos_token_id=1"),
    ({"begin_suppress_tokens": [7], "repetition_penalty": 1.2}, "repetition_penalty=1.2, begin_suppress_tokens=[7]"),
    ({"suppress_tokens": [7], "eos_token_id": [1, 5]}, None),
]


@pytest.mark.parametrize(("settings", "named"), SETTINGS)
def test_generation_settings_that_are_not_applied_are_named_once(almanac, monkeypatch, tiny, caplog, settings, named):
    for name, value in settings.items():
        setattr(tiny[0].generation_config, name, value)
    monkeypatch.setattr(hf, "load", lambda path, **options: pickle.loads(pickle.dumps(tiny)))
    models, blocks = Models(), {"user": HF("models/mine", style="pocket")}
    with caplog.at_level("WARNING"):
        for _ in range(2):
            make_players(blocks, GAME, almanac, models=models)
    expected = [] if named is None else [f"user.model: its generation settings {named} are not applied"]
    assert [message.partition(": replies are sampled")[0] for message in caplog.messages] == expected
