"""Rows of data sets made of played games, and games read from other programs' records."""

import json

import pytest
from readers import DATA, needs
from toy_games import COSTS, SETUP, TASK, games
from toys import ASHFORD

from agents.selfplay import Start, play
from clarify_env import make_task
from clarify_env.data.records import game_record, read_games
from clarify_env.data.rows import FORMATS, export
from clarify_env.data.segments import Segment, tokens_of
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from clarify_env.testing.games import Noise

# Tasks of the house that need no data of others, each small.
TASKS = {
    "almanac": {"train_names": 4, "validation_names": 2, "test_names": 2},
    "ledger": {},
    "preferences": {},
    "sql": {},
    "qa_jsonl": {"path": "docs/questions.jsonl"},
    "mix": {"tasks": {"almanac": {}, "ledger": {}}},
}


class Model:
    """Plays by a list of replies, with tokens: 1 begins a message of others, 9 ends every message."""

    name = "model"

    def __init__(self, *replies):
        self.replies = replies

    def act(self, views, seeds, openings=None):
        return [self.replies[sum(m.sender == view.role for m in view.heard)] for view in views]


def played(*replies, user=None, intent=0):
    starts = [Start(ASHFORD, intent, COSTS, 5)]
    agents = {"assistant": Model(*replies), "user": user or ScriptedUser(TASK)}
    (game,) = play(starts, agents, task=TASK)
    return game


ASK = Reply("#CLARIFY Which kind?", (5, 5), (21, 22, 9), (-0.1, -0.2, -0.3), 1)
ANSWER = Reply("#ANSWER Brandt", (5, 5, 21, 22, 9, 1, 31, 9), (41, 9), (-0.4, -0.5))
# The later prompt writes the question in other tokens.
REWRITTEN = ANSWER._replace(prompt_ids=(5, 5, 23, 9, 1, 31, 9))


def test_a_stored_turn_says_whose_tokens_it_holds():
    record = played(ASK, ANSWER).to_json()
    assert [(turn["role"], turn["player"]) for turn in record["turns"]] == [
        ("assistant", "model"),
        ("user", "scripted"),
        ("assistant", "model"),
        ("user", "scripted"),
    ]
    first, second, *_ = record["turns"]
    assert (first["ids"][: first["forced"]], first["ids"][first["forced"] :]) == ((21,), (22, 9)), "given, sampled"
    assert second["ids"] is None, "no language model"


def test_tokens_are_told_apart_by_sender_and_origin():
    (row,) = tokens_of(played(ASK, ANSWER), "assistant")
    assert row.segments == (
        Segment((), "read", (5, 5), (0.0, 0.0)),
        Segment(("assistant",), "given", (21,), (-0.1,)),
        Segment(("assistant",), "sampled", (22, 9), (-0.2, -0.3)),
        Segment(("user",), "read", (1, 31, 9), (0.0, 0.0, 0.0)),
        Segment(("assistant",), "sampled", (41, 9), (-0.4, -0.5)),
    )
    assert row.turns == (0, 2)
    assert list(tokens_of(played(ASK, ANSWER), "user")) == [], "the scripted user has no tokens"


def test_a_prompt_that_writes_earlier_messages_anew_begins_another_row():
    first, second = tokens_of(played(ASK, REWRITTEN), "assistant")
    assert (first.ids, second.ids) == ([5, 5, 21, 22, 9], [*REWRITTEN.prompt_ids, 41, 9])
    assert sum(first.mask("given", "sampled")) + sum(second.mask("given", "sampled")) == 5, "each own token once"


def test_rows_of_tokens_mask_what_others_said():
    (row,) = export(SETUP, [played(ASK, ANSWER)], "tokens")
    assert row["input_ids"] == [5, 5, 21, 22, 9, 1, 31, 9, 41, 9]
    assert row["assistant_masks"] == row["masks"]["assistant"] == [0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    assert row["sampled_mask"] == [0, 0, 0, 1, 1, 0, 0, 0, 1, 1]
    assert row["masks"]["user"] == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0]
    assert row["logprobs"] == [0, 0, -0.1, -0.2, -0.3, 0, 0, 0, -0.4, -0.5]
    assert (row["role"], row["player"], row["turns"]) == ("assistant", "model", [0, 2])


def test_completions_are_one_message_each():
    game = played(ASK, ANSWER)
    first, last = export(SETUP, [game], "completions")
    assert first["completion"] == [{"role": "assistant", "content": "#CLARIFY Which kind?"}]
    assert last["prompt"] == SETUP.game.chat(game.turns[2].view, "zero_shot")
    assert last["prompt"][-1] == {"role": "user", "content": "The film one."}
    assert first["reward"] == last["reward"] == game.reward() and last["turn"] == 2
    assert (first["prompt_ids"], first["completion_ids"], first["sampled_mask"]) == ([5, 5], [21, 22, 9], [0, 1, 1])
    assert last["masks"]["assistant"] == [0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    (_, closing) = export(SETUP, [game], "completions", roles=["user"])
    assert closing["completion"] == [{"role": "assistant", "content": "Brandt"}] and closing["role"] == "user"
    assert closing["prompt_ids"] is closing["masks"] is None, "scripted"


@pytest.mark.parametrize(
    ("threshold", "labels"), [(None, [True, False, False]), (-1, [True] * 3), (0.95, [True, False, False])]
)
def test_unpaired_rows_are_good_from_a_reward_on(threshold, labels):
    """At no threshold, from the mean of the group on: the answer is right for the first of three readings."""
    rows = export(SETUP, games("#ANSWER Brandt"), "unpaired", threshold=threshold)
    assert [row["label"] for row in rows] == labels


def test_groups_that_earned_the_same_are_held_against_all():
    bad = [game for game in games("no tag") if game.hidden == 0]
    good = games("#ANSWER Brandt", costs=COSTS._replace(alpha=0.5), intents=(0,))
    assert [row["label"] for row in export(SETUP, [*bad, *good], "unpaired")] == [False, True]


def test_traces_are_results_of_verifiers():
    game = played(ASK, ANSWER)
    (row,) = export(SETUP, [game], "traces")
    assert row["completion"] == [
        {"role": "assistant", "content": "#CLARIFY Which kind?"},
        {"role": "user", "content": "The film one."},
        {"role": "assistant", "content": "#ANSWER Brandt"},
    ]
    assert (row["answer"], row["task"], row["reward"]) == ("#ANSWER Ada Brandt", "toy", game.reward())
    assert row["metrics"] == {name: float(value) for name, value in SETUP.measures(game).items()}
    # The fields that verifiers 0.1.14 requires of a RolloutOutput.
    assert row.keys() >= {"example_id", "prompt", "completion", "reward", "timing", "is_completed", "is_truncated"}


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_is_json(to):
    rows = list(export(SETUP, [played(ASK, ANSWER)], to))
    assert rows and json.loads(json.dumps(rows, allow_nan=False))


def test_what_there_is_not_is_refused():
    for options, sentence in (
        ({"to": "csv"}, "to must be one of completions, unpaired, tokens, traces, games, not 'csv'"),
        ({"roles": ["judge"]}, "roles: game clarification has the roles assistant, user, not judge"),
    ):
        with pytest.raises(ValueError, match=sentence):
            export(SETUP, [], **options)


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def of_data(name, file):
    return pytest.param("clarification", name, {"path": DATA / file}, marks=needs(DATA / file), id=name)


# Tasks of the house that need data of others.
REAL = [
    of_data("ambigqa", "ambignq_light/dev_light.json"),
    of_data("pacific", "pacific/validation.json"),
    of_data("abgcoqa", "abg_coqa/coqa_abg_val.json"),
]


HOUSE = [pytest.param("clarification", *one, id=one[0]) for one in TASKS.items()]
# Strategies that every task of a game has, where tasks have some of their own.
EACH = {"ping": ("scripted", "mute")}
# The other games' tasks.
OTHERS = [
    pytest.param(game, name, {}, id=name)
    for game, names in {
        "pandora": ["boxes"],
        "interview": ["workshop"],
        "ping": ["ping_names", "ping_pictures", "ping_pointers", "ping_chess"],
    }.items()
    for name in names
]


@pytest.mark.parametrize(("game", "name", "options"), [*HOUSE, *OTHERS, *REAL])
def test_games_that_go_out_and_in_again_earn_the_same(game, name, options, tmp_path):
    if name == "ping_chess":
        pytest.importorskip("chess")
    setup = Setup(find_game(game), make_task(name, **options))
    prices, split = setup.game.plane().train(), next(iter(setup.task.sizes))
    begun = []
    for k in range(12):
        episode = setup.task.episode(split, k % (setup.task.sizes[split] or 12))
        begun.append(Start(episode, k % len(setup.weights(episode)), prices[k * 7 % len(prices)], seed=k))
    role, *others = setup.game.roles
    partners = {other: setup.game.player(other, setup.task, setup.game.players[other][0]) for other in others}
    strategies = EACH.get(game, setup.game.players[role])
    policies = [setup.game.player(role, setup.task, strategy) for strategy in strategies]
    rewards = []
    for policy in (*policies, Noise(setup.game, role)):
        out = list(play(begun, partners | {role: policy}, task=setup.task, game=game))
        path = lines(tmp_path / "games.jsonl", *(game_record(setup, one) for one in out))
        back = list(read_games(path, setup))
        assert [one for one, _ in back] == out and all(agrees for _, agrees in back)
        rewards += [one.reward() for one in out]
    assert len(set(rewards)) > 5, "the games differ"


RECORD = {
    "episode_id": "train/0",
    "intent": 0,
    "costs": [0.25, 0.03],
    "messages": [{"role": "assistant", "content": "#ANSWER Brandt"}, {"role": "user", "content": "Brandt"}],
}
ONE, TWO = RECORD["messages"]


def test_a_game_of_another_program_is_scored(tmp_path):
    by_name = RECORD | {"costs": {"questions": 0.25, "words": 0.03}, "agents": {"user": "person"}, "reward": 0.5}
    path = tmp_path / "games.jsonl"
    lines(path, RECORD, by_name, RECORD | {"episode_id": "test/0", "intent": 0})
    path.write_text(path.read_text().replace("\n", "\n\n"))  # empty lines
    (first, agrees), (second, differs), (third, _) = read_games(path, SETUP)
    assert first.result.score == 1 and first.reward() == pytest.approx(1 - 0.03) and agrees, "no reward on file"
    assert second._replace(id=0, agents=first.agents) == first and not differs
    assert (first.agents, second.agents) == (
        {"assistant": "elsewhere", "user": "elsewhere"},
        {"assistant": "elsewhere", "user": "person"},
    )
    assert (third.id, third.split, third.result.score) == (2, "test", 0)
    missing = {key: value for key, value in RECORD.items() if key != "intent"} | {"episode_id": "test/0"}
    ((only, _),) = read_games(lines(path, missing), SETUP)
    assert only.hidden == 0, "an episode with one reading"


WRONG = [
    ([1], "a game is a JSON object, not [1]"),
    (RECORD | {"epsiode": 1}, 'there is no key "epsiode"; known: game, task'),
    (RECORD | {"task": "ledger"}, 'task is "ledger", but this run\'s is toy'),
    (RECORD | {"game": None}, "game is null, but this run's is clarification"),
    (RECORD | {"episode_id": "train"}, 'episode_id must be SPLIT/NUMBER, as train/0, not "train"'),
    (RECORD | {"episode_id": "train/7"}, "task toy has no episode 7 in split 'train' of 1"),
    (RECORD | {"episode_id": "far/0"}, "task toy has no split 'far', only train, test"),
    (RECORD | {"intent": 3}, "intent is 3: it is the number of one of 3 possibilities, from 0"),
    (RECORD | {"intent": True}, "intent is true: it is the number"),
    ({k: v for k, v in RECORD.items() if k != "intent"}, "intent is missing: it is the number of one of 3"),
    (RECORD | {"costs": [0.25]}, "costs must be a pair (alpha, beta)"),
    (RECORD | {"costs": [0.25, -1]}, "costs"),
    (RECORD | {"costs": {"questions": 0.25}}, "costs: the price of words is missing"),
    (RECORD | {"costs": {"alpha": 0.25}}, 'there is no key "alpha"; known: questions, words'),
    (RECORD | {"messages": []}, "messages must be a list of role and content, not []"),
    (RECORD | {"messages": [ONE]}, "its messages do not end the game: user is to move"),
    (RECORD | {"messages": [TWO, ONE]}, "message 1 is of user, but by the rules assistant is to move"),
    (RECORD | {"messages": [ONE, TWO, TWO]}, "message 3, of user, comes after the end of the game"),
    (RECORD | {"messages": ["hello"]}, 'message 1 must be an object with role and content, not "hello"'),
    (RECORD | {"messages": [{"role": "system", "content": ""}]}, "message 1: role must be one of assistant, user"),
    (RECORD | {"messages": [{"role": "assistant"}]}, "message 1: content must be a text, not null"),
    (RECORD | {"messages": [ONE | {"name": "x"}]}, 'there is no key "name"; known: role, content, prompt_ids'),
    (RECORD | {"messages": [ONE | {"ids": [1]}]}, "message 1: prompt_ids and ids belong together"),
    (RECORD | {"messages": [ONE | {"prompt_ids": [1], "ids": [-1]}]}, "message 1: ids must be a list of token ids"),
    (
        RECORD | {"messages": [ONE | {"prompt_ids": [1], "ids": [2], "logprobs": []}]},
        "message 1: logprobs must hold one number per id, not []",
    ),
    (
        RECORD | {"messages": [ONE | {"prompt_ids": [1], "ids": [2], "forced": 2}]},
        "message 1: forced must be a number of ids, not 2",
    ),
    (RECORD | {"seed": 0.5}, "seed must be a whole number in [0, 2^63 - 1], not 0.5"),
    (RECORD | {"seed": 2**63}, "seed must be a whole number in [0, 2^63 - 1], not 9223372036854775808"),
    (RECORD | {"split": "test"}, 'split is "test", but the episode is train/0'),
    (RECORD | {"episode_id": "train/" + "9" * 5000}, 'episode_id must be SPLIT/NUMBER, as train/0, not "train/999'),
    (RECORD | {"episode_id": "train/\u0663"}, "episode_id must be SPLIT/NUMBER, as train/0"),
    (RECORD | {"messages": [ONE | {"content": "\ud800"}]}, 'message 1: content must be a text, not "\\ud800"'),
    (RECORD | {"messages": [ONE | {"prompt_ids": [1], "ids": [2**31]}]}, "message 1: ids must be a list of token ids"),
    (
        RECORD | {"messages": [ONE | {"prompt_ids": [1], "ids": [2], "logprobs": [10**400]}]},
        "message 1: logprobs must hold one number per id",
    ),
    (RECORD | {"agents": {"judge": "x"}}, 'there is no key "judge"; known: assistant, user'),
    (RECORD | {"agents": {"user": "\ud800"}}, "agents must be a mapping of roles"),
    (RECORD | {"reward": "high"}, 'reward must be a number, not "high"'),
    (RECORD | {"reward": 10**400}, "reward must be a number, not 1000"),
]


@pytest.mark.parametrize(("record", "sentence"), WRONG, ids=[sentence[:40] for _, sentence in WRONG])
def test_what_does_not_fit_is_refused_by_file_and_line(record, sentence, tmp_path):
    path = lines(tmp_path / "games.jsonl", RECORD, record)
    with pytest.raises(ValueError) as error:
        list(read_games(path, SETUP))
    assert str(error.value).startswith(f"{path}, line 2: {sentence}") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b'"\xff"', "not UTF-8"),
        (b"[" * 100_000, "not a game: it is nested too deeply"),
        (b'{"costs": [NaN, 0]}', "episode_id must be"),
        (b'{"seed": 1, "split": "train", "seed": 2}', 'key "seed" stands twice'),
        (b'{"messages": [{"role": "user", "role": "assistant"}]}', 'key "role" stands twice'),
        (b'{"reward": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    ],
)
def test_lines_that_are_no_json_are_refused(text, sentence, tmp_path):
    path = tmp_path / "games.jsonl"
    path.write_bytes(text + b"\n")
    with pytest.raises(ValueError, match=f"games.jsonl, line 1: {sentence}"):
        list(read_games(path, SETUP))
