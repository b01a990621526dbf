"""GRPO: what TRL is handed, and what it makes of it, by hand; the command from its line to its files."""

import copy
import json
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trl.trainer.base_trainer
from architectures import ARCHITECTURES, build
from configs import arguments_of
from conftest import SMALL
from datasets import Dataset
from safetensors.torch import load_file
from toys import ASHFORD, Toy
from trl import GRPOConfig

from agents.example import Example
from agents.hf import HFAgent, load
from agents.render import Renderer
from agents.sample import LocalSampler
from agents.selfplay import trajectory
from clarify_env.completions import check_prompts
from clarify_env.costs import CostPlane, Costs
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.prompts import messages
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers import grpo
from trainers.learning import policy_gradient
from trainers.learning.muon import Muon
from trainers.learning.options import UpdateOptions
from trainers.runs.experiment import Experiment, Policy
from trainers.runs.store import ChunkLog, ChunkWriter, save_model

TASK, COSTS = Toy(), Costs(0.25, 0.02)
SETUP = Setup(find_game("clarification"), TASK)
FEW = ["grpo.generations=4", "grpo.games_a_step=8", "budget.games=8"]
TEXTS = [
    ("#CLARIFY Which kind?", "#ANSWER Brandt"),
    ("#ANSWER Brandt",),
    ("#MULTI_ANS film: Brandt; opera: Jon Vale",),
    ("#CLARIFY Hm?", "#CLARIFY Which kind?", "#ANSWER Jon Vale"),
]

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def arguments(*overrides, task=None):
    """What `grpo.grpo` is called with, the run aside; the task is this one."""
    made = arguments_of("grpo", *FEW, *overrides)
    return made | {"experiment": replace(made["experiment"], setup=SETUP._replace(task=task or TASK))}


def make_trainer(folder, tiny, *overrides):
    made = arguments(*overrides)
    return grpo.make_trainer(made["experiment"], made["options"], made["update"], run_in(folder), Policy(*tiny))


def prompts_of(groups, *overrides, task=None):
    return grpo.prompts_of_groups(arguments(*overrides, task=task)["experiment"], groups)


def run_in(folder):
    """A run directory without logs and bars."""
    return SimpleNamespace(dir=folder, bar=lambda *_: lambda n: None, record=lambda *_, **values: None)


def game(agent, intent, *messages, costs=COSTS, seed=0):
    """A game in which the assistant sends these messages, as tokens of the model's."""
    played, user, texts = SETUP.deal(ASHFORD, intent, costs), ScriptedUser(TASK), list(messages)
    while played.to_move:
        view = played.view(played.to_move)
        if played.to_move == "assistant":
            text = texts.pop(0)
            row = Example(agent.renderer.encode(view), agent.renderer.tokenize_reply(text))
            played.apply(Reply(text, *row[:2], tuple(agent.sampler.logprobs([row])[0])))
        else:
            played.apply(Reply(user.say(view, 0)))
    return trajectory(0, seed, played, {"assistant": agent.name, "user": user.name})


def turns(made):
    return [turn.reply for turn in made.turns if turn.role == "assistant"]


def completion(made, ends):
    return grpo.completion(made, "assistant", ends)


@pytest.fixture
def agent(tiny):
    return HFAgent(*tiny, style="pocket")


@pytest.fixture
def trainer(tiny, tmp_path, agent, monkeypatch):
    """Makes a trainer whose games are those of TEXTS; `games` and `starts` hold what was played."""
    seen = SimpleNamespace(games=[], starts=[])

    def play(experiment, starts, agents, **more):
        seen.starts += starts
        made = [game(agent, s.intent, *TEXTS[i % 4], costs=s.costs, seed=s.seed) for i, s in enumerate(starts)]
        seen.games += made
        return made

    monkeypatch.setattr(Experiment, "play", play)

    def make(*overrides):
        return make_trainer(tmp_path, tiny, "update.lora_rank=0", *overrides), seen

    return make


def batch(trainer):
    trainer.model.train()
    return trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))


def test_a_game_as_one_completion(agent):
    """The assistant's tokens are marked, all else is what the template writes between."""
    made = game(agent, 0, *TEXTS[3])
    first, second, third = turns(made)
    one = completion(made, agent.renderer.turn_end_ids)
    assert tuple(one.prompt_ids) == first.prompt_ids
    assert (*one.prompt_ids, *one.ids) == (*third.prompt_ids, *third.ids), "as the last prompt goes on"
    spoken = [token for token, mine in zip(one.ids, one.own, strict=True) if mine]
    assert spoken == [*first.ids, *second.ids, *third.ids]
    unspoken = agent.renderer.tokenizer.decode([t for t, mine in zip(one.ids, one.own, strict=True) if not mine])
    answers = [message.text for message in made.turns[-2].view.heard if message.sender == "user"]
    assert all(text in unspoken for text in answers) and not re.search("CLARIFY|ANS", unspoken)
    drawn = [value for value, mine in zip(one.logprobs, one.own, strict=True) if mine]
    assert drawn == [*first.logprobs, *second.logprobs, *third.logprobs]
    assert not any(value for value, mine in zip(one.logprobs, one.own, strict=True) if not mine)


def test_what_was_used(agent, tmp_path):
    """Games that came out alike were each drawn, and each learned from at every pass."""
    run, made = run_in(tmp_path), game(agent, 0, *TEXTS[0])
    ChunkWriter(grpo._log_path(run)).append([made, made])
    first, second = turns(made)
    assert grpo.used(Experiment(SETUP), UpdateOptions(epochs=2.0), run, agent.renderer.turn_end_ids) == {
        "games": 2,
        "generated_tokens": 2 * (len(first.ids) + len(second.ids)),
        "gold_labels": 3,
        "update_tokens": 2 * 2 * (len(second.prompt_ids) + len(second.ids)),
    }


def altered(made, turn, **changes):
    """The game with one turn's reply changed."""
    replies = list(made.turns)
    replies[turn] = replies[turn]._replace(reply=replies[turn].reply._replace(**changes))
    return made._replace(turns=tuple(replies))


def test_a_message_cut_short_is_ended_by_the_template(agent):
    made, end = game(agent, 0, *TEXTS[0]), agent.renderer.end_id
    whole = completion(made, [end])
    ids = turns(made)[0].ids
    assert ids[-1] == end
    cut = completion(altered(made, 0, ids=ids[:-1], logprobs=(-1.0,) * (len(ids) - 1)), [end])
    assert cut.ids == whole.ids, "the model reads the same"
    assert (whole.own[len(ids) - 1], cut.own[len(ids) - 1]) == (1, 0), "but did not say the end"
    assert cut.own[: len(ids) - 1] == whole.own[: len(ids) - 1] and cut.own[len(ids) :] == whole.own[len(ids) :]


def test_another_split_of_the_same_text_is_kept_as_it_was_drawn(agent):
    made, end = game(agent, 0, *TEXTS[0]), agent.renderer.end_id
    other = (*(i for c in TEXTS[0][0] for i in agent.renderer.tokenizer(c, add_special_tokens=False)["input_ids"]), end)
    ids = turns(made)[0].ids
    assert agent.renderer.tokenizer.decode(other) == agent.renderer.tokenizer.decode(ids) and len(other) > len(ids)
    plain, split = (completion(m, [end]) for m in (made, altered(made, 0, ids=other, logprobs=(-1.0,) * len(other))))
    assert (split.ids, split.own) == ([*other, *plain.ids[len(ids) :]], [1] * len(other) + plain.own[len(ids) :])


REWRITING = [
    ("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>", False, "as it was"),
    (
        "{% for m in messages %}{% if m.role != 'assistant' %}<|user|>{{ m.content }}{% if loop.last %}<|assistant|>"
        "<think>{% endif %}{% else %}<|assistant|>{{ m.content }}<|end|>{% endif %}{% endfor %}",
        True,
        "a prompt that opens reasoning, which later prompts leave out",
    ),
    (
        "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ messages[0].content if loop.last }}"
        "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
        True,
        "a system text that goes with the last message",
    ),
    (
        "{{ messages | length }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        True,
        "a count of the messages",
    ),
]


@pytest.mark.parametrize(("template", "rewrites", "why"), REWRITING)
def test_a_template_that_writes_messages_anew_is_refused_before_games(tiny, template, rewrites, why):
    tiny[1].chat_template = template
    renderer = Renderer(tiny[1], partial(messages, style="pocket"), reasons=True)
    check_prompts(SETUP._replace(options={"max_questions": 0}), "assistant", COSTS, renderer)  # where nothing follows
    if not rewrites:
        check_prompts(SETUP, "assistant", COSTS, renderer)
        return
    with pytest.raises(ValueError, match=r"^GRPO: .* writes earlier messages anew .*assistant\.template"):
        check_prompts(SETUP, "assistant", COSTS, renderer)


def test_a_message_may_end_otherwise_than_the_template_ends_it(agent):
    """Models name several ends, and templates may end earlier messages otherwise than the last."""
    made, end = game(agent, 0, *TEXTS[0]), agent.renderer.end_id
    whole, (first, second) = completion(made, [end]), turns(made)
    other = altered(made, 0, ids=(*first.ids[:-1], 7))
    assert completion(other, [end, 7]).ids == [*first.ids[:-1], 7, *whole.ids[len(first.ids) :]]
    earlier = [9 if token == end and i >= len(first.prompt_ids) else token for i, token in enumerate(second.prompt_ids)]
    later = completion(altered(made, 2, prompt_ids=tuple(earlier)), [end, 9])
    assert later.ids[: len(first.ids)] == list(first.ids) and later.own == whole.own
    assert end not in later.ids[len(first.ids) : -len(second.ids)], "what follows is the template's"


@pytest.mark.parametrize("why", ["the past is written anew", "messages have no end"])
def test_a_template_that_no_completion_can_continue_is_refused(agent, why):
    made, end = game(agent, 0, *TEXTS[0]), agent.renderer.end_id
    first, second = turns(made)
    prompt = list(second.prompt_ids)
    if why == "the past is written anew":
        prompt[1] += 1
    else:
        prompt = [token for i, token in enumerate(prompt) if token != end or i < len(first.prompt_ids)]
    with pytest.raises(ValueError, match=r"the model \(assistant\.model\) writes earlier messages anew"):
        completion(altered(made, 2, prompt_ids=tuple(prompt)), [end])


def test_the_start_of_a_game_survives_the_prompt(trainer):
    """A seed beyond what a float holds, and costs to the last digit, through TRL's data set and back."""
    made, seen = trainer("grpo.generations=2")
    batch(made)
    prompts = prompts_of(4)
    starts = [prompt[0]["start"] for prompt in prompts]
    assert [(s.episode, s.costs, s.seed) for s in seen.starts] == [
        (ASHFORD, Costs(*start["prices"]), start["seed"] + k) for start in starts for k in range(2)
    ]
    assert max(start["seed"] for start in starts) > 2**53
    assert {s.costs for s in seen.starts} <= set(CostPlane().train())
    assert seen.starts == grpo.starts(SETUP, [prompt for prompt in prompts for _ in range(2)])


def test_intents_are_drawn_anew_within_a_group(almanac):
    groups = prompts_of(400)
    drawn = [[s.intent for s in grpo.starts(SETUP, [prompt] * 8)] for prompt in groups]
    assert np.mean([len(set(intents)) > 1 for intents in drawn]) > 0.95, "a group is not played for one reading"
    counts = Counter(intent for intents in drawn for intent in intents)
    assert [counts[i] / 3200 for i in range(3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.04)


def test_every_training_question_comes_once_before_any_comes_again(almanac):
    size = almanac.sizes["train"]

    def order(*overrides):
        return [prompt[0]["start"]["episode_id"] for prompt in prompts_of(2 * size, *overrides, task=almanac)]

    once = sorted(f"train/{i}" for i in range(size))
    assert sorted(order()[:size]) == sorted(order()[size:]) == once and order()[:size] != order()[size:]
    assert order() == order() != order("seed=1")
    assert set(order("budget.episodes=3")) == {"train/0", "train/1", "train/2"}


def test_rewards_are_what_the_games_earned_and_advantages_are_within_their_group(trainer):
    made, seen = trainer()
    made.model.train()
    rows = next(iter(made.get_train_dataloader()))
    given = made.rollout_func([row["prompt"] for row in rows], made)
    paid = [
        g.result.score - g.prices[0] * g.result.usage["questions"] - g.prices[1] * g.result.usage["words"]
        for g in seen.games
    ]
    assert given["reward"] == pytest.approx(paid) and len(set(paid)) > 4
    assert set(given) == {"prompt_ids", "completion_ids", "logprobs", "env_mask", "reward"}
    groups = np.array(paid).reshape(2, 4)
    expected = (groups - groups.mean(1, keepdims=True)) / (groups.std(1, ddof=1, keepdims=True) + 1e-4)
    seen.games.clear()
    got = batch(made)["advantages"]  # TRL shuffles its rows
    assert sorted(got.tolist()) == pytest.approx(sorted(expected.flatten().tolist()), abs=1e-4)


@pytest.mark.parametrize("rows", [8, 4])
def test_the_gradient_is_that_of_the_assistants_tokens_alone(trainer, tiny, rows):
    """By hand, a turn at a time from its own prompt: any loss on the user's words or on padding would show.

    With fewer rows in a pass the gradient of the step is the same.
    """
    made, seen = trainer(f"update.batch={rows}")
    made.current_gradient_accumulation_steps = 8 // rows
    made.model.train()
    loader = iter(made.get_train_dataloader())
    for _ in range(8 // rows):
        made.compute_loss(made.model, made._prepare_inputs(next(loader))).backward()
        made._step += 1
    assert len(seen.games) == 8
    model = tiny[0]
    total, tokens = 0.0, 0
    for first in (0, 4):
        rewards = np.array([g.result.reward(g.prices) for g in seen.games[first : first + 4]])
        advantages = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)
        for played, advantage in zip(seen.games[first : first + 4], advantages, strict=True):
            for reply in turns(played):
                logits = model(torch.tensor([reply.prompt_ids + reply.ids])).logits[0, len(reply.prompt_ids) - 1 : -1]
                logprobs = logits.log_softmax(-1)[range(len(reply.ids)), list(reply.ids)]
                total, tokens = total - float(advantage) * logprobs.sum(), tokens + len(reply.ids)
    (total / tokens).backward()
    for (name, got), by_hand in zip(made.model.named_parameters(), model.parameters(), strict=True):
        assert by_hand.grad.abs().sum() > 0, name
        torch.testing.assert_close(got.grad.cpu(), by_hand.grad, atol=2e-6, rtol=1e-3, msg=name)


def test_trl_reads_in_a_completion_what_the_model_read_when_it_drew(trainer):
    made, _ = trainer()
    given = batch(made)
    ids = torch.cat([given["prompt_ids"], given["completion_ids"]], 1)
    mask = torch.cat([given["prompt_mask"], given["completion_mask"]], 1)
    logprobs = made._get_per_token_logps_and_entropies(made.model, ids, mask, given["completion_ids"].shape[1])[0]
    spoken = (given["tool_mask"] * given["completion_mask"]).bool()
    torch.testing.assert_close(logprobs[spoken], given["sampling_per_token_logps"][spoken], atol=1e-4, rtol=1e-4)
    assert not given["sampling_per_token_logps"][~spoken].any()


ADAPTERS = "update.lora_rank=2"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        pytest.param([ADAPTERS], marks=pytest.mark.slow),
        [ADAPTERS, "grpo.beta=0.1"],
        pytest.param(["update.optimizer=adamw", "update.epochs=2", "grpo.scale_rewards=none"], marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("error::FutureWarning", "error:You are using 'rollout_func'")
def test_what_is_learned_is_an_ordinary_model_and_the_base_is_left_alone(trainer, tiny, overrides, tmp_path, capsys):
    base, before = tiny[0], copy.deepcopy(tiny[0].state_dict())
    made, _ = trainer("budget.games=32", "update.learning_rate=1e-2", *overrides)
    rows = [Example(tuple(range(2, 9)), (20, 21, 1)), Example((2, 9), (30,))]
    policy = HFAgent(made.model, tiny[1])
    start = policy.sampler.logprobs(rows)
    capsys.readouterr()
    model = policy_gradient.learn(made)
    assert capsys.readouterr() == ("", ""), "quietly"
    assert HFAgent(base, tiny[1]).sampler.logprobs(rows) == start and "forward" not in vars(base), "not patched"
    assert all(torch.equal(before[name], weight) for name, weight in base.state_dict().items())
    save_model(model, tiny[1], tmp_path / "made")
    plain = load(tmp_path / "made")[0]
    assert type(plain) is type(base) and plain.state_dict().keys() == before.keys()
    logprobs = HFAgent(plain, tiny[1]).sampler.logprobs(rows)
    assert logprobs != start
    assert [x for row in logprobs for x in row] == pytest.approx(
        [x for row in HFAgent(model, tiny[1]).sampler.logprobs(rows) for x in row], abs=1e-4
    )
    if ADAPTERS in overrides:
        changed = {name for name, weight in plain.state_dict().items() if not torch.equal(weight.cpu(), before[name])}
        assert changed and all("proj" in name for name in changed), "neither head nor embeddings"


def test_games_are_played_by_the_policy_as_it_stands(tiny, tmp_path, monkeypatch):
    """Also in self-play, where the user is the policy too; without dropout, which training has."""
    seen = []

    def act(self, views, seeds, openings=None):
        weights = next(p for name, p in self.sampler.model.named_parameters() if "embed" in name)
        seen.append((self.name, self.sampler.model.training, float(weights.detach().double().sum())))
        texts = ["#CLARIFY Hm?" if v.role == "assistant" and v.turn == 0 else "#ANSWER Brandt" for v in views]
        return [
            Reply(text, self.renderer.encode(v), (7, 1), (-1.0, -2.0)) for text, v in zip(texts, views, strict=True)
        ]

    monkeypatch.setattr(HFAgent, "act", act)
    line = ("user=self", "update.lora_rank=0", "budget.games=24", "update.optimizer=adamw")
    policy_gradient.learn(make_trainer(tmp_path, tiny, *line))
    assert not any(training for _, training, _ in seen)
    assert {name for name, _, _ in seen} == {"pocket", "self"}
    for name in ("pocket", "self"):
        assert len({weight for who, _, weight in seen if who == name}) > 1, "the weights move under both"


def test_the_same_seed_the_same_adapters(trainer):
    made = []
    for drawn_before in (1, 2):
        torch.manual_seed(drawn_before)
        made.append(trainer(ADAPTERS)[0].model.state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


def test_options_reach_trl(trainer):
    made, _ = trainer(
        ADAPTERS, "grpo.beta=0.1", "grpo.clip=0.3", "grpo.scale_rewards=batch", "update.epochs=2", "budget.games=17"
    )
    assert (made.beta, made.epsilon_low, made.epsilon_high, made.scale_rewards) == (0.1, 0.3, 0.3, "batch")
    assert (made.num_iterations, made.num_generations, made.args.max_steps) == (2, 4, 4), (
        "two steps of 8 games, not three"
    )
    assert isinstance(made.optimizer, Muon) and trainer("update.optimizer=adamw")[0].optimizer is None


def test_nothing_is_sent_to_anyone(trainer, monkeypatch):
    monkeypatch.delenv("CI", raising=False)

    def sent(*args, **kwargs):
        raise AssertionError("told somebody")

    monkeypatch.setattr(trl.trainer.base_trainer, "send_telemetry", sent)
    trainer()


def test_what_is_no_number(trainer, tiny, tmp_path):
    with torch.no_grad():
        tiny[0].model.norm.weight[0] = float("nan")
    made, _ = trainer()
    with pytest.raises(FloatingPointError, match=r"log-probability became nan; a lower update\.learning_rate may help"):
        policy_gradient.learn(made)
    assert not list(tmp_path.rglob("*.jsonl")), "said before it is written"
    with pytest.raises(FloatingPointError, match="the loss became inf"):
        grpo.reporter(run_in(tmp_path))(1, 2, {"loss": float("inf")})


BAD = [
    (["grpo.generations=1"], "grpo.generations must be a whole number of at least 2, not 1", "no group"),
    (["grpo.generations=2.5"], "grpo.generations must be a whole number", "half a game"),
    (["grpo.games_a_step=9"], "grpo.games_a_step=9 must be a multiple of grpo.generations=4", "part of a group"),
    (["update.batch=3"], "grpo.games_a_step=8 must be a multiple of update.batch=3", "passes of different size"),
    (["update.batch=0"], "update.batch must be a whole number of at least 1, not 0", "nothing in a pass"),
    (["update.epochs=0"], "update.epochs must be a whole number of at least 1, not 0.0", "no update"),
    (["update.epochs=1.5"], "update.epochs must be a whole number of at least 1, not 1.5", "half an update"),
    (["update.least_steps=9"], "update.least_steps must be 0", "steps without games"),
    (["update.runs=2"], "update.runs must be 1", "two policies"),
    (["update.lengths=mixed"], "update.lengths=mixed has no effect on grpo, whose steps TRL's", "steps of its own"),
    (["update.packed=true"], "update.packed=true has no effect on grpo, whose steps TRL's", "rows of its own"),
    (["update.tokens=512"], "update.batch is the number of games computed at once", "memory by the games of a pass"),
    (["grpo.beta=-1"], "grpo.beta must be a number of at least 0, not -1", "a push from the reference"),
    (["grpo.beta=much"], "grpo.beta must be a number of at least 0, not 'much'", "no number"),
    (["grpo.beta=0.1", "update.lora_rank=0"], "grpo.beta needs update.lora_rank", "no reference"),
    (["grpo.clip=0"], "grpo.clip must be a number between 0 and 1, not 0", "nothing would be learned"),
    (["grpo.scale_rewards=world"], "grpo.scale_rewards must be one of group, batch, none, not 'world'", "a scale"),
    (["update.optimizer=sgd"], "update.optimizer must be adamw or muon", "an optimizer there is not"),
]


@pytest.mark.parametrize(("overrides", "sentence", "why"), BAD, ids=[row[2] for row in BAD])
def test_wrong_options_are_refused(overrides, sentence, why):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        made = arguments(*overrides)
        grpo.check(made["experiment"], made["options"], made["update"])


def test_the_defaults_are_sensible():
    made = arguments_of("grpo")
    grpo.check(made["experiment"], made["options"], made["update"])
    step = made["options"].games_a_step
    assert made["experiment"].budget.games % step == 0, "the budget is kept to the game"
    assert made["update"].batch == step


class Stop(BaseException):
    """What `kill` would do, but that the test goes on."""


LINE = [*SMALL, *FEW, "eval.episodes=1", "eval.validation=1", "eval.modes=[greedy]", "budget.games=26", ADAPTERS]


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """An empty folder to run in, which holds temporary files too."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_command_from_end_to_end_and_again(command, alone, almanac, monkeypatch):
    folder = alone / "run"
    assert command(grpo, *LINE, "run_dir=run") == (0, "")
    summary = json.loads((folder / "summary.json").read_text())
    log = ChunkLog(folder / "trajectories/iteration-1.jsonl")
    games = [g for chunk in log.read(SETUP._replace(task=almanac)) for g in chunk]
    assert [g.id for g in games] == list(range(24)), "a fourth step would go beyond the budget"
    assert {g.split for g in games} == {"train"}
    assert [len({(g.episode_id, g.prices) for g in games[i : i + 4]}) for i in range(0, 24, 4)] == [1] * 6
    assert (summary["method"], summary["budget"]["games"]) == ("grpo", 24)
    assert summary["budget"]["generated_tokens"] == sum(len(reply.ids) for g in games for reply in turns(g))
    read = sum(len(turns(g)[-1].prompt_ids) + len(turns(g)[-1].ids) for g in games)
    assert summary["budget"]["update_tokens"] == pytest.approx(read, rel=0.05)
    labels = {g.episode_id: len(almanac.lookup(g.episode_id).interpretations) for g in games}
    assert summary["budget"]["gold_labels"] == sum(labels.values())
    steps = [
        line for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if line["phase"] == "grpo"
    ]
    assert [line["step"] for line in steps] == [1, 2, 3]
    paid = [np.mean([g.result.reward(g.prices) for g in games[i : i + 8]]) for i in (0, 8, 16)]
    assert [line["grpo/reward"] for line in steps] == pytest.approx(paid) and "grpo/loss" in steps[0]
    assert not [p for p in folder.rglob("*") if p.suffix in (".pt", ".pth", ".bin", ".pkl")], "no pickles"
    assert not [p for p in alone.rglob("*") if p.is_file() and folder not in p.parents], "and nothing elsewhere"

    before = {p: p.read_bytes() for p in folder.rglob("*.json*") if ".hydra" not in p.parts}

    def never(*args, **kwargs):
        raise AssertionError("nothing is played or learned a second time")

    for place, name in ((Experiment, "play"), (grpo, "make_trainer"), (HFAgent, "act")):
        monkeypatch.setattr(place, name, never)
    assert command(grpo, *LINE, "run_dir=run") == (0, "")
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_end(command, alone, monkeypatch):
    monkeypatch.setattr(grpo, "measure", lambda *args, **kwargs: None)
    line = [*LINE, "user=self", "update.optimizer=adamw"]
    assert command(grpo, *line, "run_dir=whole")[0] == 0
    append = ChunkWriter.append

    def killed(self, games):
        append(self, games)
        if self.chunks == 2:
            raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(ChunkWriter, "append", killed)
        with pytest.raises(Stop):
            command(grpo, *line, "run_dir=torn")
    log = alone / "torn/trajectories/iteration-1.jsonl"
    with log.open("a") as file:
        file.write('{"id":77,"turns":[{"ro')
    played = []
    play = Experiment.play

    def counted(experiment, starts, *args, **more):
        played.append(len(starts))
        return play(experiment, starts, *args, **more)

    monkeypatch.setattr(Experiment, "play", counted)
    assert command(grpo, *line, "run_dir=torn")[0] == 0
    assert played == [8], "only the third step's games are played again"
    for name in ("trajectories/iteration-1.jsonl", "checkpoints/iteration-1/model.safetensors"):
        assert (alone / "torn" / name).read_bytes() == (alone / "whole" / name).read_bytes(), name
    weights = [load_file(alone / run / "checkpoints/iteration-1/model.safetensors") for run in ("whole", "torn")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("grpo.clip=2", "error: grpo.clip must be a number between 0 and 1, not 2\n"),
        (
            "budget.episodes=99",
            "error: budget.episodes must lie in 1 to 8, the training episodes there are, not 99\n",
        ),
    ],
)
def test_a_refusal_is_one_sentence(command, alone, override, sentence):
    assert command(grpo, *LINE, override, "run_dir=run") == (1, sentence)


@pytest.mark.parametrize("name", ["openai-gpt", "minimax", "rwkv"])
def test_models_that_read_padding_are_refused_before_any_game(tiny, name):
    row = next(row for row in ARCHITECTURES if row.name == name)
    base = Policy(build(row, len(tiny[1])), tiny[1])
    with pytest.raises(
        ValueError, match=r"^assistant\.model: \w+ reads the padding that TRL's trainer puts before prompts"
    ):
        grpo.check_padding(base)


def test_models_that_do_not_read_it_are_not(tiny):
    grpo.check_padding(Policy(*tiny))


def test_rollouts_within_trls_own_defaults(tiny, tmp_path):
    """TRL turns gradient checkpointing on unless told otherwise, and hands the model over in training mode."""
    model, tokenizer = tiny
    made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[])
    assert made.gradient_checkpointing, "the case this test is about"
    trainer = policy_gradient.QuietGRPOTrainer(
        model=model,
        reward_funcs=grpo.earned,
        args=made,
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": "Who?"}]}]),
        processing_class=tokenizer,
    )
    trainer.model.gradient_checkpointing_enable()
    trainer.model.train()
    prompts = [(2, 9, 10, 1, 4), (2, 9, 11, 4)]
    sampler = LocalSampler(trainer.model, pad_id=0, end_id=1, max_new_tokens=6)
    inside = sampler.sample(prompts, [(), ()], [1, 2])
    assert trainer.model.training
    assert inside == LocalSampler(trainer.model.eval(), pad_id=0, end_id=1, max_new_tokens=6).sample(
        prompts, [(), ()], [1, 2]
    )
