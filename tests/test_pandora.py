"""Pandora's boxes: the closed form against brute force, rules, players, prices, demonstrations, and reports."""

import json
import pickle
import re
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from configs import config_of

from clarify_env import make_task
from clarify_env.evaluation.evaluate import evaluate
from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.reference import check_not_beaten, optimal_decisions, reference
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.pandora.actions import Commit, Invalid, Look, parse
from clarify_env.games.pandora.index import commits, decision_values, plans, reservation_price, values
from clarify_env.games.pandora.prices import LookPlane
from clarify_env.games.pandora.strategies import FIXED, STRATEGIES
from clarify_env.games.setup import Setup
from clarify_env.testing import check_game, check_task
from trainers import rest
from trainers.evaluation.maps import grid_map, grid_prices
from trainers.evaluation.steering import steering_report
from trainers.reporting.one_price import by_price, has_one_price

GAME, TASK = find_game("pandora"), make_task("boxes")
SETUP = Setup(GAME, TASK)
EPISODES = [TASK.episode("test", index) for index in range(12)]


def brute_force(weights, price, discount, looked=()):
    """Highest expected reward over all plans, by dynamic programming: any order of looks, any commitment."""

    @cache
    def best(looked):
        mass = 1 - sum(weights[i] for i in looked)  # the reward is times the probability of being here
        worth = discount ** len(looked)
        options = [worth * weight for i, weight in enumerate(weights) if i not in looked] or [0.0]
        for i in set(range(len(weights))) - looked:
            options.append(worth * discount * weights[i] - price * mass + best(looked | {i}))
        return max(options)

    return best(frozenset(looked))


def instances(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        weights = tuple(rng.dirichlet(np.full(rng.integers(1, 6), rng.choice([0.3, 1.0, 3.0]))).tolist())
        yield weights, float(rng.uniform(0, 0.7)), float(rng.choice([1.0, 1.0, rng.uniform()]))


def test_the_formula_is_brute_force_on_1000_instances():
    for weights, price, discount in instances(1000):
        assert values(weights, price, discount).max() == pytest.approx(brute_force(weights, price, discount), abs=1e-9)


def test_looking_pays_below_the_reservation_price_alone():
    for weights, price, discount in instances(300, seed=1):
        if len(weights) == 1:
            assert reservation_price(weights, discount) == -np.inf
            continue
        best, now = brute_force(weights, price, discount), max(weights)
        assert (price < reservation_price(weights, discount)) == (best > now + 1e-12)
        sigma = reservation_price(weights, discount)
        if sigma > 0:
            assert brute_force(weights, sigma, discount) == pytest.approx(now, abs=1e-9), "indifferent there"
        assert commits(weights, price, discount) == (best <= now + 1e-9)


def test_each_decision_has_the_value_of_brute_force():
    for weights, price, discount in instances(200, seed=2):
        looks, commitments = decision_values(weights, price, discount)
        assert commitments.tolist() == pytest.approx(list(weights))
        for i, weight in enumerate(weights):
            after = brute_force(weights, price, discount, (i,)) if len(weights) > 1 else 0.0
            assert looks[i] == pytest.approx(discount * weight - price + after, abs=1e-9)


def test_the_rule_of_the_papers_text_is_exact_for_two_boxes_alone():
    """Commit if the likeliest box is likelier than the discount (arXiv 2602.16699, 3.1); not so with three."""
    for likeliest in np.linspace(0.5, 0.98, 25):
        for discount in np.linspace(0.05, 1, 20):
            assert commits((likeliest, 1 - likeliest), 0.0, discount) == (likeliest >= discount - 1e-9)
    assert commits((0.5, 0.25, 0.25), 0.0, 0.55) and 0.5 < 0.55


def test_stopping_is_no_matter_of_one_step():
    """A first look alone may not pay while three do, so an index that sees one look ahead would commit too early."""
    weights, price = (0.35, 0.22, 0.22, 0.21), 0.24
    score, looks = plans(weights)
    assert score[1] - price * looks[1] < score[0] < (score - price * looks).max()


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("#LOOK A", Look("A")),
        ("  #COMMIT b ", Commit("B")),
        ("#COMMIT box C.", Commit("C")),
        ("#LOOK\nA", Look("A")),
        ("#LOOK", Invalid("#LOOK", "no such box")),
        ("#LOOK A B", Invalid("#LOOK A B", "no such box")),
        ("#LOOKA", Invalid("#LOOKA", "no tag")),
        ("I #LOOK A", Invalid("I #LOOK A", "no tag")),
        ("#COMMIT D", Invalid("#COMMIT D", "no such box")),
        ("", Invalid("", "no tag")),
        (None, Invalid("", "no text")),
    ],
)
def test_messages(text, action):
    assert parse(text, ("A", "B", "C")) == action


@pytest.mark.parametrize(
    ("messages", "prize", "score", "looks", "invalid"),
    [
        (["#COMMIT B"], 1, 1.0, 0, False),
        (["#COMMIT B"], 0, 0.0, 0, False),
        (["#LOOK B", "#COMMIT B"], 1, 0.5, 1, False),
        (["#LOOK A", "#LOOK C", "#COMMIT B"], 1, 0.25, 2, False),
        (["#LOOK A", "#COMMIT A"], 1, 0.0, 1, False),
        (["#LOOK A", "#LOOK A"], 1, 0.0, 2, True),
        (["#LOOK A", "#LOOK B", "#LOOK C", "#LOOK A"], 0, 0.0, 4, True),
        (["guess B"], 1, 0.0, 1, True),
        ([None], 1, 0.0, 1, True),
    ],
)
def test_results(messages, prize, score, looks, invalid):
    task = make_task("boxes", discounts=[0.5])
    game = GAME.deal(task, task.episode("test", 0), prize, (0.1,))
    for message in messages:
        game.apply(Reply(message))
    assert game.result.score == score and game.result.usage == {"looks": looks}
    assert game.result.flags == {"invalid": invalid}
    reward = game.result.reward((0.1,))
    assert reward == pytest.approx(score - 0.1 * looks) and reward >= GAME.lowest((0.1,), 10)


def test_it_keeps_what_a_game_promises():
    """Rules, views and secrecy; PettingZoo's AEC tests and Gymnasium's checker are part of it."""
    check_game(TASK, game="pandora", episodes=2)
    check_game(make_task("boxes", priors="hidden", boxes=5, discounts=[0.5, 0.9]), game="pandora", episodes=1)
    check_task(TASK, episodes=20)


def test_the_reference_is_what_the_players_earn():
    prices = tuple(price for prices in GAME.plane().sets().values() for price in prices)
    for task in (TASK, make_task("boxes", boxes=4, discounts=[0.0, 0.6, 1.0])):
        setup, episodes = Setup(GAME, task), [task.episode("test", index) for index in range(8)]
        against = reference(GAME.solve(task, episodes), prices)
        for name in STRATEGIES:
            player = {"searcher": GAME.player("searcher", task, name)}
            played = play_all(setup, episodes, prices, player, ("searcher",), seed=0, chunk=1000)
            value = against.oracle if name == "oracle" else against.fixed[name]
            np.testing.assert_allclose(played.values["reward"], value, atol=1e-9)
            check_not_beaten(played, against, episodes)
            if name == "oracle":
                np.testing.assert_allclose(played.values["looks"], against.used["looks"], atol=1e-9)
                optimal, decisions = optimal_decisions(played, against)
                assert (optimal == decisions).all() and (decisions >= 1).all()


def test_optimal_match_counts_every_decision():
    """Committing at once takes one decision a game; looking on takes several, the last of which is always optimal."""
    rows = {
        (name, price): evaluate(name, TASK, (price,), game="pandora", episodes=30)[0]
        for name in ("commit", "look_all")
        for price in (0.1, 0.6)
    }
    assert rows["commit", 0.6]["optimal_match"] == rows["commit", 0.6]["optimal_game"] == 1
    assert rows["commit", 0.1]["optimal_match"] < 0.3 and rows["commit", 0.1]["decisions"] == 1
    assert rows["look_all", 0.1]["optimal_match"] > 0.9 and rows["look_all", 0.1]["decisions"] > 2
    assert 0.3 < rows["look_all", 0.6]["optimal_match"] < 0.7, "a commitment to what was found is optimal"
    assert rows["look_all", 0.6]["optimal_game"] < 0.2


@pytest.mark.parametrize(("price", "optimal"), [(0.0, 3), (0.1, 2)])
def test_a_look_for_nothing_after_the_prize_was_found_is_as_good_as_any(price, optimal):
    episode = TASK.episode("test", 0)
    assert reservation_price(GAME.weights(episode)) > price
    order = np.argsort(GAME.weights(episode))[::-1]
    prize, other = (episode.interpretations[i].label for i in order[:2])
    game = GAME.deal(TASK, episode, int(order[0]), (price,))
    for message in (f"#LOOK {prize}", f"#LOOK {other}", f"#COMMIT {prize}"):
        game.apply(Reply(message))
    assert GAME.measures(TASK, episode, game)["optimal_decisions"] == optimal


def test_two_last_boxes_are_looked_into_alike():
    """Looking into either of two boxes tells all, so both looks are optimal."""
    looks, commitments = decision_values((0.6, 0.4), 0.1)
    assert looks.tolist() == pytest.approx([0.9, 0.9]) and commitments.max() == 0.6


@pytest.mark.parametrize(
    "options", [{}, {"boxes": 6}, {"priors": "hidden"}, {"concentration": 0.5, "discounts": [0.9]}]
)
def test_no_priors_are_in_two_splits(options):
    task = make_task("boxes", **options)
    entities = {}
    for split in task.sizes:
        for index in range(150):
            episode = task.episode(split, index)
            weights = [reading.weight for reading in episode.interpretations]
            assert sum(weights) == pytest.approx(1) and min(weights) >= 0.01
            assert ("%" in episode.context) == (task.priors == "stated")
            assert episode.meta.get("discount", 1.0) == (options.get("discounts") or [1.0])[0]
            entities.setdefault(split, set()).add(episode.meta["entity"])
    assert not entities["train"] & (entities["validation"] | entities["test"])
    assert not entities["validation"] & entities["test"]
    again = pickle.loads(pickle.dumps(task))
    assert again.episode("test", 3) == task.episode("test", 3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"boxes": 1}, r"task\.boxes"),
        ({"boxes": 9}, r"task\.boxes must be from 2 to 8, not 9"),
        ({"priors": "secret"}, r"task\.priors must be one of stated, hidden, not 'secret'"),
        ({"concentration": 0.0}, r"task\.concentration must be above 0"),
        ({"discounts": [1.5]}, r"task\.discounts must be a list of numbers in \[0, 1\], not \[1\.5\]"),
        ({"discounts": ["x"]}, r"task\.discounts must be a list"),
        ({"discounts": 0.5}, r"task\.discounts must be a list"),
        ({"discounts": [float("nan")]}, r"task\.discounts must be a list"),
        ({"concentration": 1e9}, r"task\.concentration=1000000000\.0 draws priors .* that split \w+ gets none"),
        ({"concentration": 1e308}, r"task\.concentration=1e\+308 "),
        ({"concentration": 1e-300}, r"task\.concentration=1e-300 "),
        ({"boxes": 2, "concentration": 1e5}, r"task\.concentration=100000\.0 draws priors of task\.boxes=2 boxes"),
    ],
)
def test_wrong_options_are_said(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_task("boxes", **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"price": (1e-320, 1.0)}, r"costs\.step=0\.01 is too coarse"),
        ({"price": (0.1, 1e308)}, r"costs\.price must be two rising positive prices of at most 1,000,000"),
        ({"price": (0.1,)}, r"costs\.price must be two"),
        ({"price": None}, r"costs\.price must be two"),
        ({"price": ("a", "b")}, r"costs\.price must be two"),
        ({"price": (True, True)}, r"costs\.price must be two"),
        ({"step": 1e-12}, r"costs\.step=1e-12 must be at least 1e-09"),
        ({"step": 1e-9}, r"costs\.step=1e-09 must be at least 1e-09, and make at most 10,000 prices"),
        ({"step": 0.0}, r"costs\.step=0\.0 must be"),
        ({"step": float("nan")}, r"costs\.step=nan must be"),
    ],
)
def test_prices_that_cannot_be_are_said(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        GAME.plane(**options)


def test_small_prices_keep_their_decimal_places():
    plane = GAME.plane(price=(0.001, 0.009), step=0.0005)
    sets = plane.sets()
    assert all(0.001 <= price <= 0.009 for name in ("seen", "between") for (price,) in sets[name])
    assert all(0.0105 < price < 0.0145 for (price,) in sets["beyond"])
    assert len(plane.train()) >= 12 and len(set(plane.grid()[0])) == 8


def test_held_out_prices_are_not_trained_on():
    plane = GAME.plane()
    trained = {price for (price,) in plane.train()}
    for name in ("between", "beyond"):
        for (held_out,) in plane.sets()[name]:
            assert all(abs(np.log(price / held_out)) > np.log(1.05) for price in trained)
    assert {price for (price,) in plane.sets()["seen"]} <= trained
    drawn = plane.draw(20, np.random.default_rng(0), corner=0.5, word_ends=0.1)
    assert {price for (price,) in drawn} <= trained and drawn.count((0.6,)) > 4
    free = LookPlane(price=(0.0, 0.0))
    assert free.train() == ((0.0,),) and free.sets() == {"fixed": ((0.0,),)} and free.grid() == ()
    for wrong in ((0.5, 0.2), (0.0, 0.5), (-0.1, 0.2)):
        with pytest.raises(ValueError, match=r"costs\.price must be"):
            LookPlane(price=wrong)


def test_demonstrations_disregard_the_price():
    rng, by_action = np.random.default_rng(0), {"look": [], "commit": []}
    for index in range(600):
        price = GAME.plane().train()[int(rng.integers(38))]
        first = GAME.demonstrate(TASK, TASK.episode("train", index), price, rng)[0]
        by_action[GAME.kind(first)].append(price[0])
    assert abs(np.mean(by_action["look"]) - np.mean(by_action["commit"])) < 0.03
    assert 0.45 < len(by_action["look"]) / 600 < 0.55
    kinds = {d.kind for d in islice(GAME.pretraining(TASK, GAME.plane().train(), rng), 200)}
    assert kinds == {"game", "where", "left", "worth", "likelier", "hidden"}
    with pytest.raises(ValueError, match="shares must be of game, where"):
        next(GAME.pretraining(TASK, GAME.plane().train(), rng, {"page": 1.0}))


def test_prompts_state_the_boxes_then_the_price_and_never_the_prize():
    task = make_task("boxes", discounts=[0.9])
    views = [GAME.deal(task, task.episode("test", 0), prize, (0.25,)).view("searcher") for prize in range(3)]
    assert views[0] == views[1] == views[2]
    for style in ("natural", "pocket"):
        system, ask = GAME.chat(views[0], style)
        assert views[0].facts.boxes in system["content"] and "0.25" not in system["content"]
        assert "0.25" in ask["content"] and "0.9" in ask["content"]
    with pytest.raises(ValueError, match=r"prompts\.style=prior"):
        GAME.chat(views[0], "prior")
    assert "A 20%, B 80%" in GAME.chat(views[0], "prior", "A 20%, B 80%")[0]["content"]


def test_steering_of_one_price_is_measured_and_drawn():
    axes = GAME.plane().grid(4)
    prices = grid_prices(GAME.plane(), 4)
    assert prices == tuple((price,) for price in axes[0])
    played = play_all(
        SETUP, EPISODES, prices, {"searcher": GAME.player("searcher", TASK, "oracle")}, ("searcher",), seed=0, chunk=99
    )
    grid = grid_map(GAME, played, reference(GAME.solve(TASK, EPISODES), prices), *axes)
    assert has_one_price(grid) and list(grid["oracle"]) == ["look", "commit", "looks", "reward"]
    for name, values_of in grid["oracle"].items():
        assert np.shape(values_of) == (4, 1) and np.allclose(values_of, grid["policy"][name]), name
    steers = steering_report(GAME, grid)
    assert steers["look_price"] == {"policy": pytest.approx(-1), "oracle": pytest.approx(-1), "range_ratio": 1.0}
    first, looks, reward = by_price(grid, GAME.actions, "price of looks").axes
    assert [line.get_label() for line in first.lines] == ["look, policy", "oracle", "commit, policy", "oracle"]
    assert looks.get_title() == "looks" and reward.get_title() == "reward"


def test_fixed_strategies_are_the_games_players():
    assert set(FIXED) < set(GAME.players["searcher"]) and GAME.players["searcher"][0] == "oracle"
    with pytest.raises(ValueError, match=r"assistant\.strategy must be one of oracle, commit"):
        GAME.player("searcher", TASK, "look_twice")


PAGE = (Path(__file__).parents[1] / "docs" / "games" / "pandora.md").read_text(encoding="utf-8")


def test_the_example_of_the_page(capsys):
    code, printed = (re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)[1] for language in ("python", "text"))
    exec(compile(code, "pandora.md", "exec"), {})
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("line", re.findall(r"(?m)^\.venv/bin/python -m trainers\.(.*)$", PAGE))
def test_commands_of_the_page_make_a_config(line):
    command, *overrides = line.split()
    assert config_of(command, *overrides).game.name == "pandora"


QUICK = [
    "game=pandora",
    "assistant.model=pocket",
    "task.test=3",
    "task.validation=2",
    "eval.grid=3",
    "eval.modes=[greedy]",
    "budget.games=130",
    "rest.iterations=1",
    "update.epochs=1",
    "rest.hindsight=4",
    "update.runs=1",
    "update.least_steps=0",
]


class KilledError(Exception):
    """What `kill` would do, but that the test goes on."""


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_end_and_its_report_has_lines_by_price(
    command, tmp_path, monkeypatch, drawn
):
    line = [*QUICK, "eval.transcripts=2"]
    assert command(rest, *line, f"run_dir={tmp_path / 'whole'}")[0] == 0
    with monkeypatch.context() as patched:
        patched.setattr(rest, "improve", lambda *_, **__: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            command(rest, *line, f"run_dir={tmp_path / 'killed'}")
    assert command(rest, *line, f"run_dir={tmp_path / 'killed'}")[0] == 0
    whole, killed = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "killed"))
    assert whole["eval"] == killed["eval"] and whole["steering"] == killed["steering"]
    assert {"optimal_match", "optimal_game", "looks"} <= whole["eval"]["between"]["greedy"].keys()
    report = (tmp_path / "whole" / "report.html").read_text(encoding="utf-8")
    assert "Behaviour by price" in report and "optimal match" in report
    assert (tmp_path / "whole" / "figures" / "by_price.png").exists()
    assert sum(1 for _ in (tmp_path / "whole" / "trajectories" / "iteration-1.jsonl").open()) > 60
