import json
from functools import partial

import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import CostPlane, Costs
from clarify_env.games.base import Reply
from clarify_env.games.clarification.actions import KINDS
from clarify_env.games.clarification.oracle import FIXED, solve
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from trainers.evaluation import metrics
from trainers.evaluation.metrics import Played, Reference, bootstrap, check_not_beaten, play_cells, summarize
from trainers.evaluation.steering import spearman, steering, steering_report

EPISODES, CELLS = [ASHFORD, DUNLEY], (Costs(0.1, 0.02), Costs(0.3, 0.1), Costs(0.9, 0.001))


@pytest.mark.parametrize(
    ("x", "y", "expected", "why"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 400], 1, "rising, however fast"),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1, "falling"),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8, "1 - 6 * 4 / (5 * 24)"),
        ([1, 2, 3, 4], [1, 1, 2, 2], 2 / np.sqrt(5), "ties: ranks 1.5 1.5 3.5 3.5, covariance 4, variances 5 and 4"),
        ([1, 2, 3], [0, 0, 1], np.sqrt(3) / 2, "ties: ranks 1.5 1.5 3"),
        ([1, 2, 3], [5, 5, 5], 0, "constant"),
        ([7, 7, 7], [1, 2, 3], 0, "constant on the other side"),
        ([1, 2, 3], [0.3, 0.1 + 0.2, 0.1 + 0.2 + 1e-15], 0, "rounding makes no ranks"),
    ],
)
def test_spearman(x, y, expected, why):
    assert spearman(np.array(x), np.array(y)) == pytest.approx(expected), why


AXIS = [0.1, 0.2, 0.4]
ORACLE = np.array([[0.9, 0.5, 0.1], [0.6, 0.4, 0.2], [0.3, 0.3, 0.3]])


@pytest.mark.parametrize(
    ("policy", "correlation", "ratio", "why"),
    [
        (ORACLE, -1, 1, "the oracle itself"),
        (np.full((3, 3), 0.5), 0, 0, "constant: it does not steer"),
        (ORACLE / 2, -1, 0.5, "half as far"),
        (ORACLE[:, ::-1], 1, -1, "the wrong way"),
        (np.vstack([ORACLE[:2], [[0.0, 0.5, 1.0]]]), -1, 1, "a row in which the oracle does not vary says nothing"),
        (np.vstack([ORACLE[:1], [[0.4] * 3], ORACLE[2:]]), -0.5, 2 / 3, "one row of two: (0.8 + 0) / (0.8 + 0.4)"),
    ],
)
def test_steering(policy, correlation, ratio, why):
    found = steering(policy, ORACLE, AXIS)
    assert found == pytest.approx({"policy": correlation, "oracle": -1, "range_ratio": ratio}), why


def test_steering_where_there_is_nothing_to_follow():
    assert steering(ORACLE, np.full((3, 3), 0.4), AXIS) == {"policy": 0, "oracle": 0, "range_ratio": 0}
    there_and_back = np.array([[0.1, 0.9, 0.1]])
    assert steering(there_and_back, there_and_back, AXIS)["range_ratio"] == 0, "no fall to compare with"
    slight = np.vstack([ORACLE[:1], [[0.35, 0.3, 0.28]]])
    assert steering(np.vstack([ORACLE[:1], [[0, 0.5, 1]]]), slight, AXIS)["policy"] == -1, "below a tenth of the range"


def entity(name, index):
    return ASHFORD._replace(id=f"test/{index}", meta={"entity": name})


def test_the_interval_is_by_entity():
    rng = np.random.default_rng(0)
    level = rng.normal(size=40)
    values = np.repeat(level, 5)[:, None] + 0.01 * rng.normal(size=(200, 8))
    together = [entity(f"e{i // 5}", i) for i in range(200)]
    apart = [entity(f"e{i}", i) for i in range(200)]
    low, high = bootstrap(values, together, 0)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * level.std() / np.sqrt(40), rel=0.2), "40 entities, not 1,600 values"
    near = bootstrap(values, apart, 0)
    assert near[1] - near[0] < 0.6 * (high - low), "as if each question were its own: too narrow"
    assert bootstrap(values, together, 0) == [low, high] != bootstrap(values, together, 1), "seeded"
    nameless = [episode._replace(meta={}) for episode in apart]
    assert bootstrap(values, nameless, 0) == near, "a question without an entity is one"


def test_the_interval_covers():
    rng, hits = np.random.default_rng(1), 0
    episodes = [entity(f"e{i}", i) for i in range(40)]
    for trial in range(200):
        low, high = bootstrap(rng.normal(0.5, 1, size=(40, 1)), episodes, trial, draws=200)
        hits += low <= 0.5 <= high
    assert 180 <= hits <= 199


def grid(**values):
    shape = (2, 2)
    full = {name: np.zeros(shape) for name in metrics._COMPONENTS}
    return Played(
        full | {name: np.array(value, dtype=float) for name, value in values.items()},
        np.array([[0, 1], [2, 3]]),
        np.zeros(shape, dtype=bool),
        [],
        9,
    )


# Of the first question at both costs, then the second; its messages are those of `grid`: ask, guess, list, invalid.
BY_ACTION = np.array([[[0.85, 0.9, 0.1], [0.7, 0.65, 0.1]], [[0.6, 0.5, -np.inf], [0.4, 0.3, 0.35]]])


def test_summarize_by_hand():
    played = grid(
        reward=[[0.8, 0.6], [0.4, 0.2]],
        accuracy=[[1, 1], [0.5, 0.5]],
        words=[[2, 4], [6, 8]],
        invalid=[[0, 0], [0, 0.5]],
        f1=[[1, 1], [1, 0]],
        leak=[[0, 1], [0, 0]],
    )
    fixed = {
        "guess": [[0.5, 0.5], [0.3, 0.3]],
        "list": [[0.9, 0.0], [0.0, 0.0]],
        "ask": [[0.0, 0.5], [0.0, 0.4]],
        "threshold": [[0.1, 0.1], [0.1, 0.1]],
    }
    against = Reference(
        np.array([[0.9, 0.7], [0.6, 0.4]]), None, None, {k: np.array(v) for k, v in fixed.items()}, BY_ACTION
    )
    found = summarize(played, against, EPISODES, 0)
    assert found["reward"] == pytest.approx(0.5) and found["oracle"] == pytest.approx(0.65)
    assert found["regret"] == pytest.approx(0.15)
    # Asked at 0.85 where 0.9 was to be had, guessed at 0.65 instead of 0.7; a list without a plan and a message that is
    # invalid lose all of their 0.2.
    lost = metrics.lost_by_action(played, against)
    assert lost == pytest.approx(np.array([[0.05, 0.05], [0.2, 0.2]])) and found["regret_action"] == lost.mean()
    assert found["gap_closed"] == pytest.approx((0.5 - 0.4) / (0.65 - 0.4)), "guess, at 0.4, is the best of the fixed"
    assert found["fixed"] == pytest.approx({"guess": 0.4, "list": 0.225, "ask": 0.225, "threshold": 0.1})
    # Cell means of the policy: 0.6, 0.4; of the best fixed strategy there: 0.45 (list), 0.45 (ask).
    assert found["dominance"] == 0.5, "the first cell is won; the second is short by 0.05, more than the margin"
    assert found["share"] == {"clarify": 0.25, "answer": 0.25, "multi_answer": 0.25, "invalid": 0.125}
    assert (found["accuracy"], found["words"], found["f1"], found["leak"]) == (0.75, 5, 0.75, 0.25)
    assert found["accuracy_clear"] == 0.5, "of the second question, which has one reading"
    assert summarize(played, against, [ASHFORD, ASHFORD], 0)["accuracy_clear"] is None
    low, high = found["reward_ci"]
    assert 0.3 <= low < 0.5 < high <= 0.7
    near = grid(reward=[[0.8, 0.64], [0.4, 0.22]])
    assert summarize(near, against, EPISODES, 0)["dominance"] == 1, "short by 0.02: within the margin"
    equal = Reference(np.full((2, 2), 0.4), None, None, {name: np.full((2, 2), 0.4) for name in FIXED}, BY_ACTION)
    assert summarize(played, equal, EPISODES, 0)["gap_closed"] == 0, "no gap"


def test_actions_are_held_against_labels_by_hand():
    # First messages: clarify and answer on the first question, list and invalid on the second.
    played = grid(accuracy=[[0.25, 1], [1, 1]])
    found = metrics.labelled(played, np.array([True, False]))
    # Asking: 1 right of 1 said and 2 meant, 2/3; not asking: 2 right of 3 said and 2 meant, 4/5.
    assert found["action_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["asked_accuracy"] == 0.25
    assert metrics.labelled(played, np.array([False, False]))["action_f1"] == pytest.approx((0 + 6 / 7) / 2)
    silent = played._replace(first=np.ones((2, 2), dtype=int))
    assert metrics.labelled(silent, np.array([False, False])) == {"action_f1": 0.5, "asked_accuracy": None}


def test_labels_are_reported_where_every_question_has_one():
    labels = [episode._replace(meta=episode.meta | {"ambiguous": i == 0}) for i, episode in enumerate(EPISODES)]
    against = Reference(np.ones((2, 2)), None, None, {name: np.zeros((2, 2)) for name in FIXED}, BY_ACTION)
    assert {"action_f1", "asked_accuracy"} <= set(summarize(grid(), against, labels, 0))
    assert "action_f1" not in summarize(grid(), against, EPISODES, 0)


def players(name, task):
    return {"assistant": ScriptedAssistant(task, name), "user": ScriptedUser(task)}


class Thoughtful(ScriptedAssistant):
    """Thinks aloud, by a tag too, before it says what its strategy does."""

    def say(self, view):
        return f"Perhaps #ANSWER.\n{super().say(view)}"


@pytest.mark.parametrize("name", ["list", "ask", "oracle"])
def test_what_stands_before_the_tag_is_no_first_action(name):
    task, cost = Toy(), np.array(CELLS)[:, 1]
    plain, free, charged = (
        play_cells(task, EPISODES, CELLS, players(name, task) | {"assistant": assistant}, make_game, seed=0, chunk=4)
        for assistant, make_game in [
            (ScriptedAssistant(task, name), ClarificationGame),
            (Thoughtful(task, name), partial(ClarificationGame, reasoning="free")),
            (Thoughtful(task, name), partial(ClarificationGame, reasoning="charged")),
        ]
    )
    assert (free.first == plain.first).all() and (charged.first == plain.first).all()
    assert all(np.array_equal(free.values[key], plain.values[key]) for key in plain.values)
    spent = 2 * (1 + plain.values["questions"])
    assert np.allclose(charged.values["words"], plain.values["words"] + spent)
    assert np.allclose(charged.values["reward"], plain.values["reward"] - cost * spent)


def toys(name, **more):
    task = Toy()
    return play_cells(task, EPISODES, CELLS, players(name, task), ClarificationGame, seed=0, **({"chunk": 4} | more))


def test_play_cells_is_exact_over_intents():
    played = toys("guess")
    assert played.values["accuracy"].tolist() == [[0.5] * 3, [1] * 3], "the first reading is meant half of the time"
    assert np.allclose(played.values["reward"][0], [0.5 - cell.beta for cell in CELLS]), "Brandt: one word"
    assert played.games == 3 * (3 + 1)
    assert (played.first == KINDS.index("answer")).all()


def test_play_cells_does_not_depend_on_its_chunks():
    for name in ("oracle", "list"):
        whole = toys(name, chunk=100)
        for chunk in (1, 4):
            part = toys(name, chunk=chunk)
            assert all((part.values[key] == whole.values[key]).all() for key in whole.values)


def test_progress_counts_pairs():
    counted = []
    toys("guess", progress=counted.append)
    assert sum(counted) == len(EPISODES) * len(CELLS)


class Unlabelled:
    name = "unlabelled"

    def act(self, views, seeds, prefixes=None):
        return [Reply("#MULTI_ANS Brandt; Jon Vale") for _ in views]


def test_what_a_lot_decided_is_marked():
    task = Toy()
    played = play_cells(
        task,
        EPISODES,
        CELLS,
        {"assistant": Unlabelled(), "user": ScriptedUser(task)},
        ClarificationGame,
        seed=0,
        chunk=4,
    )
    assert played.drawn.all() and not toys("list").drawn.any()


def test_who_beats_the_oracle_fails_the_run():
    played, against = toys("oracle"), metrics.reference(solve(Toy(), EPISODES), CELLS)
    check_not_beaten(played, against, EPISODES)
    rigged = played.values["reward"].copy()
    rigged[1, 2] += 1e-6
    better = played._replace(values=played.values | {"reward": rigged})
    with pytest.raises(AssertionError, match=r"beats the oracle by 0\.0000 on test/0"):
        check_not_beaten(better, against, EPISODES)
    drawn = played.drawn.copy()
    drawn[1, 2] = True
    check_not_beaten(better._replace(drawn=drawn), against, EPISODES)


def test_transcripts_are_json():
    task = Toy()
    played = toys("oracle", sample=4)
    assert len(played.transcripts) == 4
    for game, cell in played.transcripts:
        shown = metrics.transcript(game, task, 0.9)
        assert json.loads(json.dumps(shown)) == shown
        assert shown["costs"] == list(CELLS[cell]) and shown["turns"][0][0] == "assistant"
        assert shown["gold"] == list(task.lookup(game.episode_id).interpretations[game.intent].answers)
    assert toys("oracle", sample=4).transcripts == played.transcripts, "the same sample again"
    assert len(toys("oracle", sample=100).transcripts) == 6, "a game of each pair at most"


def test_the_maps_are_those_of_the_cells():
    task, plane = Toy(), CostPlane()
    sets, cells = metrics.sets_and_grid(plane, 3)
    assert len(sets["between"]) == 20 and len(cells) == 9
    played = play_cells(task, EPISODES, cells, players("oracle", task), ClarificationGame, seed=0, chunk=50)
    against = metrics.reference(solve(task, EPISODES), cells)
    found = metrics.grid_report(played, against, *plane.grid(3))
    assert json.loads(json.dumps(found)) == found
    for name, map_ in found["oracle"].items():
        assert np.shape(map_) == (3, 3) and np.allclose(found["policy"][name], map_), name
    alphas, betas = plane.grid(3)
    assert found["oracle"]["reward"][2][0] == pytest.approx(
        metrics.reference(solve(task, EPISODES), (Costs(alphas[2], betas[0]),)).oracle.mean()
    ), "[alpha][beta]"
    steers = steering_report(found)
    assert steers["ask_alpha"]["policy"] == steers["ask_alpha"]["oracle"]
    assert steers["words_beta"]["policy"] == steers["words_beta"]["oracle"]


def test_steering_reads_the_maps_the_right_way_round():
    falls_with_alpha = np.array([[0.8] * 3, [0.2] * 3])
    falls_with_beta = np.array([[9.0, 5.0, 1.0]] * 2)
    side = {"clarify": falls_with_alpha.tolist(), "words": falls_with_beta.tolist()}
    found = steering_report({"alphas": [0.1, 0.2], "betas": [0.1, 0.2, 0.3], "policy": side, "oracle": side})
    for name in ("ask_alpha", "words_beta"):
        assert found[name] == pytest.approx({"policy": -1, "oracle": -1, "range_ratio": 1}), name


def test_an_entity_of_many_questions_counts_for_as_many():
    episodes = [entity("one", 0), *(entity("nine", i) for i in range(1, 10))]
    assert bootstrap(np.array([[0.0]] + [[1.0]] * 9), episodes, 0) == [0, 1], "either entity may be drawn twice"


def test_runs_are_drawn_as_well_as_entities():
    about = [str(i // 2) for i in range(100)]
    same = np.tile(np.linspace(0, 1, 100), (3, 1))
    low, high = metrics.interval(same, about, 0)
    assert metrics.interval(same[:1], about, 0) == pytest.approx([low, high], abs=0.02), "runs alike widen nothing"
    apart = same + np.array([[-0.5], [0.0], [0.5]])
    wide = metrics.interval(apart, about, 0)
    # Three runs drawn of three: their mean is off by half with probability 1/27 to each side.
    assert wide[0] < low - 0.2 and wide[1] > high + 0.2
    assert metrics.interval(apart[:, :1] * 0 + 2.0, about[:1], 0) == [2, 2]
