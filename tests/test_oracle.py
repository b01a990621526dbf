"""The oracle against a search over messages, all played through the real game with the scripted user."""

import subprocess
import sys
from itertools import combinations, islice, permutations, product
from unittest.mock import patch

import numpy as np
import pytest

from clarify_env.costs import CostPlane, Costs
from clarify_env.games.base import Reply
from clarify_env.games.clarification import users
from clarify_env.games.clarification.actions import Clarify, MultiAnswer, parse, words
from clarify_env.games.clarification.oracle import ACTIONS, FIXED, action_map, solve, summarize
from clarify_env.games.clarification.plans import Plan, closing_plans, list_message, shortest_answer, shortest_label
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks import Episode, Interpretation, Task, make_task

COSTS = [Costs(a, b) for a in (0.0, 0.05, 0.2, 0.6) for b in (0.0, 0.005, 0.02, 0.05, 0.1, 0.2)]


class Tiny(Task):
    name = "tiny"
    sizes = {"test": 1}

    def __init__(self, metric, *readings):
        """Readings are (weight, label or attribute values, *answers)."""
        self.metric = metric
        kinds = [phrase.split()[0] for _, phrase, *_ in readings]
        self._readings = tuple(
            Interpretation(
                phrase.split()[0] if self.attributes and len(set(kinds)) == len(kinds) else phrase,
                f"Who made Ashford, the {phrase}?",
                answers,
                weight,
                tuple(zip(self.attributes, phrase.split(), strict=False)),
            )
            for weight, phrase, *answers in readings
        )

    def _episode(self, split, index):
        return Episode("test/0", "Who made Ashford?", "", self._readings, {"entity": "Ashford"})


class Attributed(Tiny):
    attributes = {"kind": ("kind",), "era": ("era",), "place": ("place",)}


TASKS = {
    "plain": Attributed(
        "em",
        (0.5, "film Tudor Wales", "Ada Brandt", "The B"),
        (0.3, "opera Tudor Wales", "Jon Vale"),
        (0.2, "bridge Roman Wales", "May 1901"),
    ),
    "articles and spellings": Attributed(
        "em",
        (0.6, "film Tudor Wales", "The Beatles", "the Fab Four"),
        (0.4, "opera Tudor Wales", "A Man_and a Dog", "Vitamin the"),
    ),
    "shared answers": Attributed(
        "em",
        (0.4, "film Tudor Wales", "Ada Brandt", "Brandt"),
        (0.3, "opera Tudor Wales", "Ada Brandt"),
        (0.3, "bridge Roman Wales", "Jon Vale"),
    ),
    "shared answer, labels in words": Tiny(
        "em", (0.4, "old film", "Ada Brandt"), (0.3, "old opera", "Ada Brandt"), (0.3, "bridge", "Jon Vale")
    ),
    "labels without a word of their own": Tiny(
        "em",
        (0.3, "red film", "Abel"),
        (0.25, "red opera", "Bauer"),
        (0.25, "blue film", "Conti"),
        (0.2, "blue opera", "Duval"),
    ),
    "answer with ; and :": Attributed(
        "em", (0.5, "film Tudor Wales", "Ada: a; life"), (0.5, "opera Tudor Wales", "10:30")
    ),
    "one reading": Attributed("em", (1.0, "film Tudor Wales", "Ada Brandt")),
    "partial": Attributed(
        "f1",
        (0.5, "film Tudor Wales", "Ada Jane von Brandt"),
        (0.3, "opera Tudor Wales", "Jon Vale"),
        (0.2, "bridge Roman Wales", "May"),
    ),
    "partial, shared words": Attributed(
        "f1",
        (0.4, "film Tudor Wales", "3 May 1901"),
        (0.3, "opera Tudor Wales", "9 May 1850"),
        (0.3, "bridge Roman Wales", "May 1777"),
    ),
    "partial, skewed": Attributed(
        "f1",
        (0.7, "film Tudor Wales", "the red old door"),
        (0.2, "opera Tudor Wales", "red door"),
        (0.1, "bridge Tudor Wales", "blue door"),
    ),
    "partial, labels in words": Tiny(
        "f1", (0.5, "old film", "Ada Jane Brandt"), (0.3, "old opera", "Ada Brandt"), (0.2, "bridge", "Jon Brandt")
    ),
}


def played(task, episode, intent, *messages):
    """Plays the messages, each draw of the user's in turn: mean accuracy, the last message's price, and the replies."""
    closing = parse(messages[-1])
    draws = len(task.pick(closing.items, intent, episode)) if isinstance(closing, MultiAnswer) else 1
    accuracy = 0.0
    for draw in range(max(1, draws)):
        game, user = ClarificationGame(task, episode, intent, Costs(0, 0)), ScriptedUser(task)
        for message in messages:
            game.apply(Reply(message))
            if game.to_move == "user":
                with patch.object(users, "_draw", lambda seed, n, draw=draw: draw):
                    game.apply(Reply(user.say(game.view("user"), 0)))
        accuracy += (game.result.score if game.result else 0.0) / max(1, draws)
    return accuracy, game


def candidates(task, episode, rng, most):
    """Closing messages an inventive player might try, beyond the oracle's own plans."""
    readings = episode.interpretations
    aliases = list(dict.fromkeys(alias for reading in readings for alias in reading.answers))
    tokens = list(dict.fromkeys(word for alias in aliases for word in alias.replace("_", " ").split()))
    bags = [" ".join(c) for k in (1, 2, 3) for c in combinations(tokens, k)]
    answers = dict.fromkeys([*aliases, *bags, *(f"{a} {b}" for a, b in permutations(aliases, 2)), " ".join(aliases)])
    named = [w for r in readings for w in (" ".join(v for _, v in r.attributes) or r.label).split()]
    known = list(dict.fromkeys(named))
    labels = ["", "nonsense", *known, *(f"{a} {b}" for a, b in combinations(known, 2)), *(r.label for r in readings)]
    texts = [f"#ANSWER {answer}" for answer in answers]
    texts += [plan.text for plan in closing_plans(task, episode)]
    # Parts of the right answers, the articles off, are what lists are worth making of.
    parts = list(dict.fromkeys([*aliases, *(a.partition(" ")[2] or a for a in aliases), *tokens]))
    items = list(product(labels, parts))
    for _ in range(most):
        chosen = rng.choice(len(items), size=int(rng.integers(1, len(readings) + 2)))
        texts.append(list_message(items[i] for i in chosen))
    # And, to search where it matters, labels at random on the readings' own answers.
    for _ in range(most):
        subset = rng.permutation(len(readings))[: rng.integers(1, len(readings) + 1)]
        picked = [(labels[rng.integers(len(labels))], readings[i].answers[0]) for i in subset]
        texts.append(list_message(picked))
    return list(dict.fromkeys(texts))


def searched(task, episode, rng, most):
    """The best expected reward, at each of COSTS, of any candidate, after no question, one or two.

    Twice ``most`` candidates are drawn at random, beside the others.
    """
    weights = np.array([reading.weight for reading in episode.interpretations])
    alpha, beta = np.array(COSTS).T
    everyone = range(len(weights))
    texts = candidates(task, episode, rng, most)
    table = [[played(task, episode, i, text) for i in everyone] for text in texts]
    accuracy = np.array([[cell[0] for cell in row] for row in table])
    length = np.array([row[0][1].result.usage["words"] for row in table])
    mass = accuracy * weights

    def closing(group):
        return (mass[:, group].sum(1)[:, None] - np.outer(length * weights[group].sum(), beta)).max(0)

    named = dict.fromkeys(
        w for r in episode.interpretations for w in [r.label, *r.label.split(), *dict(r.attributes).values()]
    )
    questions = [f"#CLARIFY Is it the {' or the '.join(pair)}?" for k in (1, 2) for pair in combinations(named, k)]
    questions += [f"#CLARIFY {question}" for question in task.questions(episode)] + ["#CLARIFY", "#CLARIFY what?"]
    best = closing(list(everyone))
    splits = {}
    for question in questions:
        groups = {}
        for intent in everyone:
            _, game = played(task, episode, intent, question)
            groups.setdefault(game.turns[1].reply.text, []).append(intent)
            # What is said after a question is worth what it is worth without, less alpha.
            after = played(task, episode, intent, question, texts[intent])[1].result
            without = table[intent][intent][1].result
            assert after == without._replace(usage=dict(without.usage) | {"questions": 1})
        splits[tuple(map(tuple, groups.values()))] = list(groups.values())
    for groups in splits.values():
        value = sum(closing(group) for group in groups) - alpha
        best = np.maximum(best, value)
        for again in splits.values():
            parts = [[[i for i in cell if i in group] for cell in again] for group in groups]
            value = -alpha
            for group, cells in zip(groups, parts, strict=True):
                twice = sum(closing(cell) for cell in cells if cell) - alpha * weights[group].sum()
                value = value + np.maximum(closing(group), twice)
            best = np.maximum(best, value)
    return best


@pytest.mark.parametrize("most", [500, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TASKS)
def test_no_message_beats_the_oracle(name, most):
    task = TASKS[name]
    episode = task.episode("test", 0)
    value, _ = solve(task, [episode])[0].oracle(np.array(COSTS))
    best = searched(task, episode, np.random.default_rng(0), most)
    over = best - value
    assert over.max() < 1e-9, (COSTS[over.argmax()], over.max())
    assert over.min() > -1e-9, "the oracle's own plans are among those searched"


@pytest.mark.slow
def test_no_message_beats_the_oracle_on_the_almanac():
    task = make_task("almanac")
    for episode in [e for e in task.episodes("validation") if len(e.interpretations) == 3][:2]:
        value, _ = solve(task, [episode])[0].oracle(np.array(COSTS))
        assert (searched(task, episode, np.random.default_rng(1), 2000) - value).max() < 1e-9


@pytest.mark.parametrize(
    "name, text, why",
    [
        ("articles and spellings", "#ANSWER Beatles", "an article costs a word and scores nothing"),
        ("articles and spellings", "#ANSWER Vitamin", "wherever it stands"),
        ("shared answers", "#ANSWER Ada Brandt", "the longer alias is right for two readings"),
        ("shared answers", "#MULTI_ANS Tudor: Ada Brandt; bridge: Jon Vale", "one item serves two readings"),
        (
            "shared answer, labels in words",
            "#MULTI_ANS old: Ada Brandt; bridge: Jon Vale",
            "by a word their labels share",
        ),
        ("labels without a word of their own", "#MULTI_ANS red: Abel; opera: Duval", "one word does for two of four"),
        ("answer with ; and :", "#MULTI_ANS film: Ada: life\nopera: 10:30", "a list on lines"),
        ("partial", "#ANSWER Ada Jane", "part of an answer"),
        ("partial", "#ANSWER Ada Jane von Brandt Jon Vale", "several answers at once"),
        ("partial", "#MULTI_ANS film: Ada Jane; opera: Jon Vale", "each cut as far as pays"),
        ("partial, shared words", "#ANSWER May", "what all answers have in common"),
        ("partial, shared words", "#MULTI_ANS Tudor: May; bridge: May 1777", "what a group has in common"),
    ],
)
def test_plans_hold_what_clever_players_find(name, text, why):
    task = TASKS[name]
    episode = task.episode("test", 0)
    action = parse(text)
    accuracy = [played(task, episode, i, text)[0] for i in range(len(episode.interpretations))]
    plans = closing_plans(task, episode)
    assert any(p.words <= words(action) and (p.accuracy >= np.array(accuracy) - 1e-9).all() for p in plans), why


@pytest.fixture(scope="module")
def solved():
    task = make_task("almanac")
    return solve(task, list(islice(task.episodes("validation"), 60)))


CELLS = np.array([cell for cells in CostPlane().sets().values() for cell in cells])


def test_dearer_is_never_better_and_the_oracle_never_loses(solved):
    alphas, betas = CostPlane().grid()
    value = np.array([action_map([s], alphas, betas).value for s in solved])
    assert (np.diff(value, axis=1) <= 1e-12).all() and (np.diff(value, axis=2) <= 1e-12).all()
    assert (value >= 0).all(), "saying nothing is free"
    assert (np.array([s.oracle(CELLS)[0] for s in solved]) >= 0).all()


def test_the_oracle_is_convex_in_the_costs(solved):
    # A maximum of values that are linear in the costs.
    a, b = CELLS[:50], CELLS[50:]
    for s in solved:
        middle = s.oracle((a + b) / 2)[0]
        assert (middle <= (s.oracle(a)[0] + s.oracle(b)[0]) / 2 + 1e-12).all()


def test_fixed_strategies_never_beat_the_oracle(solved):
    for s in solved:
        value, _ = s.oracle(CELLS)
        fixed = s.fixed(CELLS)
        assert set(fixed) == set(FIXED)
        assert all((earned <= value + 1e-12).all() for earned in fixed.values())


def test_without_questions_the_strategies_that_ask_guess():
    task = make_task("almanac")
    for episode in islice(task.episodes("test"), 8):
        fixed = solve(task, [episode], 0)[0].fixed(CELLS)
        assert (fixed["ask"] == fixed["guess"]).all() and (fixed["threshold"] == fixed["guess"]).all()
        game = ClarificationGame(task, episode, 0, Costs(0.1, 0.01), max_questions=0)
        for name in ("ask", "threshold"):
            (reply,) = ScriptedAssistant(task, name, 0).act([game.view("assistant")], [0])
            assert reply.text.startswith("#ANSWER ")


def test_of_plans_by_action_the_best_is_the_oracles(solved):
    lists = 0
    for s in solved:
        value, action = s.oracle(CELLS)
        best, fixed = s.by_action(CELLS), s.fixed(CELLS)
        assert best.shape == (len(CELLS), len(ACTIONS)) and best.max(1) == pytest.approx(value)
        clear = np.sort(best)[:, -1] - np.sort(best)[:, -2] > 1e-9
        assert (best.argmax(1) == action)[clear].all()
        for strategy, taken in (("ask", "clarify"), ("guess", "answer"), ("list", "multi_answer")):
            earned = best[:, ACTIONS.index(taken)]
            assert (earned >= fixed[strategy] - 1e-12).all() or not np.isfinite(earned).any()
        lists += np.isfinite(best[:, ACTIONS.index("multi_answer")]).all()
    assert 0 < lists < len(solved), "one reading cannot be listed"


def test_plans_by_action_by_hand():
    def best(task, **options):
        (one,) = solve(task, [task.episode("test", 0)], **options)
        return one.by_action(np.array([[0.2, 0.02]]))[0].tolist()

    # The likeliest reading has an answer of one word (articles do not count), the others have two.
    assert best(TASKS["plain"]) == pytest.approx([1 - 0.2 - 1.5 * 0.02, 0.5 - 0.02, 1 - 8 * 0.02])
    assert best(TASKS["plain"], max_questions=0)[0] == -np.inf, "none may be asked"
    one = Attributed("em", (1.0, "film Tudor Wales", "Ada Brandt"))
    assert best(one) == pytest.approx([0.96 - 0.2, 0.96, -np.inf]), "a question tells nothing, and costs"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("up", [0.0, 1e-15, -1e-15])
def test_of_guesses_that_differ_by_rounding_alone_the_shorter_is_taken(order, up):
    (one,) = solve(TASKS["plain"], [TASKS["plain"].episode("test", 0)])
    long = Plan("answer", "#ANSWER Ada Brandt", 2, np.array([0.6 + up, 0.0, 0.0]))
    short = Plan("answer", "#ANSWER Vale", 1, np.array([0.0, 1.0, 0.0]))
    one.plans = [long, short][::order]
    assert one.likeliest is short, "0.3 either way"


def test_fewer_questions_are_never_better(solved):
    task = solved[0].task
    values = [[s.oracle(CELLS)[0] for s in solve(task, [s.episode for s in solved], n)] for n in (0, 1, 2)]
    assert (np.diff(np.array(values), axis=0) >= -1e-12).all()


class Halving(Attributed):
    def questions(self, episode):
        return [self.ask_attribute(name) for name in self.attributes]


def test_of_questions_that_part_readings_otherwise_the_better_counts():
    task = Halving(
        "em", (0.5, "film Tudor Wales", "Abel"), (0.3, "film Roman Wales", "Bauer"), (0.2, "opera Roman Wales", "Conti")
    )
    (one,) = solve(task, [task.episode("test", 0)], 1)
    # Asked for the era, then guessed: right for 0.5 and 0.3, of one word. For the kind it would be 0.5 and 0.2.
    assert one.by_action(np.array([[0.1, 0.2]]))[0, 0] == pytest.approx(0.8 - 0.1 - 0.2)


def test_a_second_question_is_planned_where_one_does_not_do():
    task = Halving(
        "em",
        (0.25, "film Tudor Wales", "Abel"),
        (0.25, "opera Tudor Malta", "Bauer"),
        (0.25, "film Roman Malta", "Conti"),
        (0.25, "opera Roman Wales", "Duval Engel"),
    )
    one, two = (solve(task, [task.episode("test", 0)], n)[0] for n in (1, 2))
    cheap = np.array([[0.05, 0.1]])
    assert two.oracle(cheap)[0][0] == pytest.approx(1 - 2 * 0.05 - 0.1 * 1.25)
    assert two.words_used(cheap)[0] == pytest.approx(1.25), "words of the message after both"
    assert one.oracle(cheap)[0][0] < two.oracle(cheap)[0][0]


def test_the_oracle_player_earns_the_oracle(solved):
    for s in solved[::7]:
        for costs in CELLS[::23]:
            earned = used = 0.0
            for intent, weight in enumerate(s.weights):
                game, user = ClarificationGame(s.task, s.episode, intent, Costs(*costs)), ScriptedUser(s.task)
                left, questions = s.everyone, 0
                while game.to_move == "assistant":
                    text = s.message(costs[None], left, s.max_questions - questions)
                    action = game.apply(Reply(text)).action
                    game.apply(Reply(user.say(game.view("user"), 0)))
                    if isinstance(action, Clarify):
                        left, questions = next(c for c in s.cells(action.question) if intent in c), questions + 1
                earned += weight * game.result.reward(game.prices)
                used += weight * game.result.usage["words"]
            assert earned == pytest.approx(s.oracle(costs[None])[0][0])
            assert used == pytest.approx(s.words_used(costs[None])[0])


def test_map_and_summary_agree_with_the_oracle(solved):
    alphas, betas = CostPlane().grid()
    grid = action_map(solved, alphas, betas)
    assert grid.shares.shape == (8, 8, 3) and np.allclose(grid.shares.sum(-1), 1)
    one = np.array([[alphas[2], betas[5]]])
    assert grid.value[2, 5] == pytest.approx(np.mean([s.oracle(one)[0] for s in solved]))
    assert grid.words[2, 5] == pytest.approx(np.mean([s.words_used(one) for s in solved]))
    means = summarize(solved, list(product(alphas, betas)))
    assert means["oracle"] == pytest.approx(grid.value.mean())
    assert list(means["shares"].values()) == pytest.approx(grid.shares.mean((0, 1))) and list(means["shares"]) == [
        *ACTIONS
    ]
    assert summarize(solved, [(9.0, 9.0)])["silent"] == 1.0


def test_short_labels_and_answers_say_the_least_that_works():
    task = TASKS["labels without a word of their own"]
    assert shortest_label(task, task.episode("test", 0), 0) == "red film"
    task = TASKS["articles and spellings"]
    assert [shortest_answer(task, task.episode("test", 0), i) for i in (0, 1)] == ["Beatles", "Vitamin"]


ARGUMENTS = [
    (["tsk=almanac"], "unknown argument 'tsk'"),
    (["almanac"], "key=value"),
    (["task=atlas"], "unknown task 'atlas'"),
    (["task.metric=bleu"], "task.metric must be"),
    (["task.colour=red"], "colour"),
    (["costs.alpha=[1,2,3]"], "costs.alpha must be [low,high]"),
    (["costs.beta=[2,1]"], "costs.beta must be two increasing"),
    (["split=dev"], "split must be"),
    (["max_questions=-1"], "max_questions must be"),
]


@pytest.mark.parametrize("arguments, sentence", ARGUMENTS)
def test_wrong_arguments_end_in_one_sentence(arguments, sentence, capsys):
    from clarify_env.games.clarification.__main__ import main

    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_the_map_is_printed():
    command = [
        sys.executable,
        "-m",
        "clarify_env.games.clarification",
        "task=almanac",
        "task.world_seed=1",
        "split=validation",
        "costs.alpha=[.1,.9]",
        "costs.beta=[0.01,0.05]",
        "max_questions=1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "alpha [0.1, 0.9]" in done.stdout and "share of multi_answer" in done.stdout and not done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[-5:]] == list(CostPlane().sets())
