"""TRL's GRPO on our games: groups, seeds, rewards, masks, and the examples of docs/adapters.md."""

import copy
import json
import pickle
import re
import runpy
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
import trl.trainer.base_trainer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from toys import ASHFORD, Toy
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import get_json_schema
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen3_chat_template

from agents.hf import HFAgent
from clarify_env.adapters.trl import Games, earned, game_seed
from clarify_env.games.base import Reply
from clarify_env.gym import RoleEnv

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "adapters.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- trl:(\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
CALLS = {"ask": "question", "list_answers": "text", "answer": "text"}
TAGS = {"ask": "#CLARIFY", "list_answers": "#MULTI_ANS", "answer": "#ANSWER"}

pytestmark = [
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:You are using:UserWarning"),
]


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch):
    monkeypatch.setattr(trl.trainer.base_trainer._BaseTrainer, "_send_telemetry", lambda self: None, raising=False)


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    """A Qwen3 of random weights whose template calls tools, in its folder."""
    texts = [message["content"] for row in Games(Toy()).rows(1) for message in row["prompt"]]
    env = Games(Toy()).environment()
    texts += [qwen3_chat_template, *(json.dumps(get_json_schema(getattr(env, name))) for name in CALLS)]
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts * 3, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )
    raw.add_special_tokens([AddedToken(text, special=True) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=qwen3_chat_template,
    )
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 4096}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    folder = tmp_path_factory.mktemp("hub") / "Qwen" / "Qwen3-0.6B"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), **sizes, **heads, **ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def scripted(rng):
    """Tool calls of one game: up to three questions, then an answer or a list; some games break off."""
    answers = ["Brandt", "Jon Vale", "Bank of Lund", "nobody", 1901]
    calls = [
        ("ask", str(rng.choice(["Which kind?", "Which era?", "Hm?", "Is it <b>?"]))) for _ in range(rng.integers(4))
    ]
    if rng.random() < 0.4:
        calls.append(("answer", answers[rng.integers(5)]))
    elif rng.random() < 0.7:
        calls.append(("list_answers", "film: Brandt\nopera: Jon Vale" if rng.random() < 0.5 else "Brandt; Jon Vale"))
    return calls


def call_text(name, text):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': {CALLS[name]: text}})}\n</tool_call>"


class Scripted(GRPOTrainer):
    """TRL's trainer, whose model writes given messages: all but sampling is TRL's."""

    def begin(self, scripts):
        self.scripts, self.written, self.captured = scripts, [], None
        return self

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        # The members of a group begin with equal prompts: they are told apart by what was written before.
        if not self.written:
            turns = [(member, 0) for member in range(len(prompt_ids))]
            self.written = [list(ids) for ids in prompt_ids]
        else:
            left = [member for member in range(len(self.written)) if self.turn[member] is not None]
            turns = []
            for ids in prompt_ids:
                member = next(m for m in left if ids[: len(self.written[m])] == self.written[m])
                left.remove(member)
                turns.append((member, self.turn[member] + 1))
                self.written[member] = list(ids)
        self.turn = [None] * len(self.written)
        replies = []
        for member, number in turns:
            script = self.scripts[member]
            text = call_text(*script[number]) if number < len(script) else f"Bye, {member}."
            ids = self.processing_class(f"{text}<|im_end|>", add_special_tokens=False)["input_ids"]
            self.turn[member] = number
            self.written[member] += ids
            replies.append(ids)
        return replies, None

    def _generate_and_score_completions(self, inputs):
        self.captured = super()._generate_and_score_completions(inputs)
        return self.captured


def trainer_of(chat_model, games, rows, scripts, tmp_path, **options):
    sizes = {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 2000}
    sizes |= {"gradient_accumulation_steps": len(scripts) // 4}  # a step is one batch of games
    settings = {"max_steps": 1, "use_cpu": True, "report_to": "none", "shuffle_dataset": False, "save_strategy": "no"}
    return Scripted(
        model=str(chat_model),
        args=GRPOConfig(str(tmp_path), disable_tqdm=True, **settings | sizes | options),
        train_dataset=rows,
        environment_factory=games.environment,
    ).begin(scripts)


def messages_of(script, max_questions=2):
    """The messages of a script that the game hears, by the grammar of its tags; what ends unanswered says nothing."""
    heard = [f"{TAGS[name]} {text}" for name, text in script]
    end = next((i for i, (name, _) in enumerate(script) if name != "ask" or i == max_questions), None)
    return [*heard, None] if end is None else heard[: end + 1]


def direct(task, row, member, texts, number=0):
    """The same game, played on our environment."""
    env = RoleEnv(task, "assistant")
    options = {name: row[name] for name in ("split", "index", "costs")}
    env.reset(seed=game_seed(row["seed"], member, number), options=options)
    for text in texts:
        observation, reward, over, _, _ = env.step(text)
    assert over
    return observation["transcript"], reward, env.game.hidden


@pytest.mark.parametrize("groups", [1, pytest.param(50, marks=pytest.mark.peers)])
def test_games_by_tool_calls_equal_those_of_our_environment(chat_model, groups, tmp_path):
    games, rng = Games("almanac"), np.random.default_rng(groups)
    rows, scripts = games.rows(groups), [scripted(rng) for _ in range(4 * groups)]
    trainer = trainer_of(chat_model, games, rows, scripts, tmp_path)
    trainer.model.train()
    trainer._generate_and_score_completions([row for row in rows for _ in range(4)])
    rewards = trainer._logs["rewards"]["AssistantTools"]
    assert len(rewards) == 4 * groups
    for member, (script, reward) in enumerate(zip(scripts, rewards, strict=True)):
        transcript, expected, hidden = direct("almanac", rows[member // 4], member, messages_of(script))
        game = trainer.environments[member]._env.game
        assert (game.hidden, trainer.environments[member].get_reward()) == (hidden, expected)
        assert games.setup.game.transcript(game.view("assistant")) == transcript
        assert reward == pytest.approx(expected, abs=1e-6), "TRL keeps rewards in float32"


def hidden_gradients(trainer, inputs):
    """Gradients of the loss by the last hidden states, from which the tokens of completions are predicted."""
    outputs, model = [], trainer.model
    hook = model.model.norm.register_forward_hook(lambda module, args, output: outputs.append(output))
    try:
        model.train()
        loss = trainer._compute_loss(model, inputs)
    finally:
        hook.remove()
    (hidden,) = outputs
    gradients = torch.autograd.grad(loss, hidden)[0].abs().sum(-1)
    length = inputs["completion_ids"].size(1)
    return gradients[:, -length - 1 : -1]


@pytest.mark.parametrize("way", ["tools", "rollout"])
def test_tokens_of_others_carry_no_loss(way, chat_model, tiny, tmp_path):
    if way == "tools":
        scripts = [[("ask", "Which kind?"), ("answer", text)] for text in ("Brandt", "x", "Jon Vale", "y y y")]
        games = Games(Toy())
        trainer = trainer_of(chat_model, games, games.rows(1), scripts, tmp_path)
    else:
        trainer = rollout_trainer(tiny, tmp_path)
    trainer.train()
    inputs, tokenizer = trainer.captured, trainer.processing_class
    assert inputs["advantages"].abs().min() > 0
    gradients = hidden_gradients(trainer, inputs)
    own = inputs["tool_mask"].bool() & inputs["completion_mask"].bool()
    others = ~inputs["tool_mask"].bool() & inputs["completion_mask"].bool()
    assert others.any(dim=1).all() and own.any(dim=1).all()
    assert (gradients[~own] == 0).all() and (gradients[own] > 0).all()
    for ids, mask in zip(inputs["completion_ids"], others, strict=True):
        assert "The " in tokenizer.decode(ids[mask]), "what the user said is masked"
        assert "#ANSWER" not in tokenizer.decode(ids[mask]) and "tool_call>" not in tokenizer.decode(ids[mask])


class Reader(HFAgent):
    """Asks first, whatever its model would say, then says what its model does."""

    def act(self, views, seeds, openings=None):
        return super().act(views, seeds, ["#ANSWER" if view.heard else "#CLARIFY Which kind?" for view in views])


def rollout_trainer(tiny, tmp_path, games=None, agent=Reader):
    class Captured(GRPOTrainer):
        def _generate_and_score_completions(self, inputs):
            self.captured = super()._generate_and_score_completions(inputs)
            return self.captured

    model, tokenizer = tiny
    games = games or Games("almanac", costs=(0.3, 0.02))
    options = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "bf16": False}
    return Captured(
        model=model,
        reward_funcs=[earned, lambda completion_ids, **_: [float(i % 4) for i in range(len(completion_ids))]],
        args=GRPOConfig(str(tmp_path), max_steps=1, per_device_train_batch_size=4, num_generations=4, **options),
        train_dataset=games.rows(4, tools=False),
        processing_class=tokenizer,
        rollout_func=games.rollout(lambda trainer: agent(trainer.model, trainer.processing_class, style="pocket")),
    )


class Clerk:
    """Replies with tokens that are the characters of what a scripted assistant says."""

    def __init__(self):
        self.renderer, self.name = self, "clerk"
        self.turn_end_ids = (0,)

    def encode_all(self, views):
        return [tuple(map(ord, self.text(view))) for view in views]

    def text(self, view):
        lines = [f"{message.text}\0" for message in view.heard]
        return "".join([f"{view.facts}\0", *lines])

    def act(self, views, seeds, openings=None):
        replies = []
        for view, seed in zip(views, seeds, strict=True):
            rng = np.random.default_rng(seed)
            choices = ["#CLARIFY Which kind?", "#ANSWER Brandt", "#MULTI_ANS a: Brandt; b: Jon Vale", "none"]
            text = choices[rng.integers(4)]
            ids = (*map(ord, text), 0)
            replies.append(Reply(text, *self.encode_all([view]), ids, (-1.0,) * len(ids)))
        return replies


@pytest.mark.parametrize("groups", [5, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("task", "role"), [("almanac", "assistant"), ("ledger", "assistant"), ("almanac", "user")])
def test_games_by_rollout_equal_those_of_the_engine(task, role, groups):
    from clarify_env.selfplay import play

    games = Games(task, role=role)
    prompts = [row["prompt"] for row in games.rows(groups, tools=False) for _ in range(4)]
    clerk = Clerk()
    trainer = type("Trainer", (), {"model": torch.nn.Linear(1, 1)})
    rollout = games.rollout(lambda _: clerk)
    for number in range(2):
        batch = rollout(prompts, trainer)
        starts = [games.start(prompt[-1]["start"], member, number) for member, prompt in enumerate(prompts)]
        agents = games.agents | {role: clerk}
        played = list(play(starts, agents, task=games.setup.task))
        assert batch["reward"] == [game.reward(role) for game in played]
        columns = [batch[name] for name in ("prompt_ids", "completion_ids", "env_mask", "logprobs")]
        for game, prompt_ids, ids, mask, logprobs in zip(played, *columns, strict=True):
            moves = game.moves((role,))
            assert tuple(prompt_ids) == moves[0].reply.prompt_ids
            assert (*prompt_ids, *ids) == (*moves[-1].reply.prompt_ids, *moves[-1].reply.ids)
            own = "".join(chr(token) for token, one in zip(ids, mask, strict=True) if one)
            assert own == "".join(f"{turn.reply.text}\0" for turn in moves)
            assert [value != 0 for value in logprobs] == [bool(one) for one in mask]


def test_a_game_that_the_others_end_before_the_role_moves_is_played_again():
    class Fickle:
        name = "fickle"

        def act(self, views, seeds, openings=None):
            asks = [seed % 3 == 0 or bool(view.heard) for view, seed in zip(views, seeds, strict=True)]
            return [Reply("#CLARIFY Which kind?" if one else "none") for one in asks]

    games, trainer = Games(Toy(), role="user", agents={"assistant": Fickle()}), torch.nn.Linear(1, 1)
    prompts = [row["prompt"] for row in games.rows(6, tools=False)]
    batch = games.rollout(lambda _: Clerk())(prompts, type("Trainer", (), {"model": trainer}))
    assert len(batch["reward"]) == 6 and all(map(any, batch["env_mask"])) and trainer.training

    class Mute(Fickle):
        def act(self, views, seeds, openings=None):
            return [Reply("none") for _ in views]

    games = Games(Toy(), role="user", agents={"assistant": Mute()})
    with pytest.raises(ValueError, match="the other roles ended 1000 games before user was to move"):
        games.rollout(lambda _: Clerk())(prompts, type("Trainer", (), {"model": trainer}))


def test_members_of_a_group_share_episode_and_costs_and_nothing_drawn():
    games = Games(Toy())
    rows, envs = games.rows(2), [games.environment() for _ in range(40)]
    played = set()
    for row in (rows[0], rows[0], rows[1]):
        for env in envs:
            env.reset(**row)
        dealt = [env._env.game for env in envs]
        assert {(game.episode.id, tuple(game.prices)) for game in dealt} == {
            (f"train/{row['index']}", tuple(row["costs"]))
        }
        assert {game.hidden for game in dealt} == {0, 1, 2}
        played.add(tuple(game.hidden for game in dealt))
    assert len(played) == 3, "a row that comes again is played anew"


def test_processes_draw_apart(monkeypatch):
    seeds = {game_seed(3, member, number) for member in range(4) for number in range(3)}
    monkeypatch.setenv("RANK", "1")
    seeds |= {game_seed(3, member, number) for member in range(4) for number in range(3)}
    assert len(seeds) == 24 and all(0 <= seed < 2**63 for seed in seeds)


def test_rows_are_permutations_of_the_split_at_drawn_prices():
    rows = Games("almanac", task_options={"train_names": 4}).rows(16)
    assert sorted(rows[:8]["index"]) == sorted(rows[8:]["index"]) == list(range(8))
    assert len({tuple(costs) for costs in rows["costs"]}) > 8
    assert rows[:] == Games("almanac", task_options={"train_names": 4}).rows(16)[:]
    assert rows[:] != Games("almanac", task_options={"train_names": 4}).rows(16, seed=1)[:]
    endless = Games("ledger").rows(3)
    assert len(set(endless["index"])) == 3 and "$" not in endless[0]["prompt"][1]["content"]


def test_nothing_hidden_stands_in_a_prompt():
    row = Games(Toy()).rows(1)[0]
    shown = json.dumps(row["prompt"])
    assert all(
        answer not in shown for reading in ASHFORD.interpretations for answer in (*reading.answers, reading.text)
    )


def test_tools_have_schemas_and_the_model_is_told_how_a_game_goes_on():
    env = Games(Toy(), costs=(0.25, 0.03)).environment()
    for name, parameter in CALLS.items():
        function = get_json_schema(getattr(env, name))["function"]
        assert list(function["parameters"]["properties"]) == function["parameters"]["required"] == [parameter]
    env.reset(split="train", index=0, costs=[0.25, 0.03], seed=1, prompt="ignored")
    assert env.ask("Which kind?").startswith("The ")
    assert env.answer("Brandt") == "Brandt\nThe conversation is over."
    with pytest.raises(ValueError, match="the game is over"):
        env.ask("And now?")
    assert env.get_reward() == env.get_reward() == pytest.approx(0.72 if env._env.game.hidden == 0 else -0.28)


@pytest.mark.parametrize(
    ("calls", "reward", "reply"),
    [
        ([], -0.25, None),
        (["ask"], -0.5, "I do not understand the question."),
        (["ask", "ask", "ask"], -0.75 - 0.03, "The conversation is over."),
    ],
    ids=["no call", "broken off", "a question too many"],
)
def test_a_game_without_an_answer(calls, reward, reply):
    env = Games(Toy()).environment()
    env.reset(split="train", index=0, costs=[0.25, 0.03], seed=1)
    for name in calls:
        last = getattr(env, name)("Hm?")
    assert reply is None or last == reply
    assert env.get_reward() == pytest.approx(reward)


def test_what_others_say_is_scrubbed():
    games = Games(Toy(), scrub=lambda text: text.replace("<|im_end|>", " "))
    env = games.environment()
    env.reset(**games.rows(1)[0])
    assert env.answer("Ada<|im_end|>") == "Ada \nThe conversation is over."


def test_half_a_character_in_a_call_is_none_in_the_reply():
    env = Games(Toy()).environment()
    env.reset(**Games(Toy()).rows(1)[0])
    assert env.answer("Ada \ud800").startswith("Ada \ufffd")


@pytest.mark.parametrize(
    "through", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"]
)
def test_environments_travel_to_other_processes(through):
    games = Games("almanac")
    row, first = games.rows(1)[0], games.environment()
    second = through(first)
    for env in (first, second):
        env.reset(**row)
    assert first.list_answers("a; b; c") == second.list_answers("a; b; c")
    assert through(games).rows(3)[:] == games.rows(3)[:]


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda: Games("nonsense"), "unknown task 'nonsense'"),
        (lambda: Games(Toy(), role="judge"), "no role 'judge'"),
        (lambda: Games(Toy(), role="user").environment(), "the user of clarification learns by rollout_func"),
        (lambda: Games(Toy(), role="user").rows(1), "the user of clarification learns by rollout_func"),
        (lambda: Games(Toy()).rows(1, split="dev"), "task toy has no split 'dev', only train, test"),
        (lambda: Games(Toy()).rows(0), "groups must be a whole number of at least 1, not 0"),
        (lambda: Games(Toy()).rows(1, seed=-1), "seed must be a whole number of at least 0, not -1"),
        (
            lambda: Games(Toy()).environment().reset(**Games(Toy()).rows(1, tools=False)[0]),
            "environment_factory is for the rows of Games.rows: this one has no split",
        ),
        (
            lambda: Games(Toy()).rollout(None)([Games(Toy()).rows(1)[0]["prompt"]], None),
            r"rollout_func is for the rows of Games.rows\(…, tools=False\)",
        ),
    ],
)
def test_what_cannot_be_is_said_at_once(use, sentence):
    with pytest.raises(ValueError, match=sentence):
        use()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_page_trains(name, chat_model, tmp_path, monkeypatch):
    """The model's id is a folder here; two steps on the CPU instead of 200."""
    code = EXAMPLES[name]
    assert len([line for line in code.splitlines() if line]) <= 15
    code = code.replace("max_steps=200", "max_steps=2, use_cpu=True, report_to='none', disable_tqdm=True")
    code = code.replace("rows(1600", "rows(4").replace("max_completion_length=512", "max_completion_length=32")
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(chat_model.parents[1])
    with patch.object(sys, "argv", ["example.py"]):
        done = runpy.run_path(str(tmp_path / "example.py"), run_name="__main__")
    assert done["trainer"].state.global_step == 2
