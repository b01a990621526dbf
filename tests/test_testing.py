import sqlite3
from functools import lru_cache
from itertools import count
from threading import Lock

import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

import clarify_env
from clarify_env import games
from clarify_env.costs import FixedPrices
from clarify_env.games.base import Reply, Result
from clarify_env.games.clarification.description import Clarification
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.testing import check_game, check_task


def with_readings(episode, **change):
    """The episode with its first reading changed."""
    first, *rest = episode.interpretations
    return episode._replace(interpretations=(first._replace(**change), *rest))


def broken(**methods):
    """A toy task with one thing wrong."""
    return type("Broken", (Toy,), methods)()


def serving(episode):
    """A toy task whose training episode is another."""
    return broken(_episode=lambda self, split, index: {"train": episode, "test": DUNLEY}[split])


class Drifting(Toy):
    asked = 0

    def _episode(self, split, index):
        self.asked += 1
        return super()._episode(split, index)._replace(query=f"Question {self.asked}?")


def elsewhere():
    """Makes a task that another process would make differently from `Toy`."""
    return serving(ASHFORD._replace(query="Who drew Ashford?"))


def chatty(self, question, intent, episode):
    return f"Think of {episode.interpretations[intent].answers[0]}."


# Episodes of a wrong form, which the check and play refuse alike.
MALFORMED = [
    (serving(ASHFORD._replace(interpretations=())), "it has no readings", "nothing to mean"),
    (
        serving(with_readings(ASHFORD, answers="Ada")),
        r"must be a tuple, such as \('Ada',\), not 'Ada'",
        "a text as answers",
    ),
    (serving(with_readings(ASHFORD, answers={"Ada"})), "answers of reading 0 must be a tuple", "answers in a set"),
    (serving(with_readings(ASHFORD, answers=(1991,))), "answer 0 of reading 0 must be a text, not 1991", "a number"),
    (serving(with_readings(ASHFORD, label=None)), "the label of reading 0 must be a text, not None", "no label"),
    (serving(ASHFORD._replace(query=5)), "query must be a text, not 5", "a query that is a number"),
    (serving(ASHFORD._replace(meta=None)), "meta must be a dictionary, not None", "no meta"),
    (
        serving(ASHFORD._replace(interpretations=({},))),
        "reading 0 must be an Interpretation",
        "another kind of reading",
    ),
    (serving(ASHFORD._replace(meta={"entity": []})), r"meta: entity must be a text, not \[\]", "no hash"),
    (serving(with_readings(ASHFORD, weight="1")), "weight '1', which is no positive finite number", "a text as weight"),
    (serving(with_readings(ASHFORD, weight=0.6)), "weights sum to 1.1, not 1", "weights that are too much"),
    (serving(with_readings(ASHFORD, weight=0.0)), "so it is never meant", "a reading nobody means"),
    (serving(with_readings(ASHFORD, answers=())), "reading 0 has no answer", "no gold answer"),
]
FAULTS = [
    *MALFORMED,
    (Drifting(), "asked for twice, it differs", "an episode that changes"),
    (serving(ASHFORD._replace(id="train/7")), "lookup\\(\\) of its id does not", "an id that leads nowhere"),
    (serving(ASHFORD._replace(id="test/0")), "lookup\\(\\) of its id does not", "an id that leads elsewhere"),
    (serving(ASHFORD._replace(meta={"set": {1}})), "meta changes on its way through JSON", "meta that is not JSON"),
    (serving(ASHFORD._replace(meta={1: 2})), "meta changes on its way through JSON", "meta that comes back changed"),
    (serving(ASHFORD._replace(meta=DUNLEY.meta)), "its entity is also in split train", "splits that share an entity"),
    (serving(with_readings(ASHFORD, answers=["Ada"])), "something that can be changed", "answers in a list"),
    (serving({"query": "Why?"}), "_episode must return an Episode, not {'query'", "another kind of episode"),
    (broken(_episode=lambda *_: {}["x"]), "episode 0 of split train: KeyError: 'x'", "an error of its own"),
    (broken(_episode=lambda *_: int("x")), "episode 0 of split train raised ValueError: invalid lit", "a ValueError"),
    (broken(reply=lambda *_: {}["x"]), "episode 0 of split train raised KeyError: 'x'", "a user that fails"),
    (serving(with_readings(ASHFORD, answers=("\u200b",))), "is empty after normalisation", "nothing to match"),
    (serving(with_readings(ASHFORD, label="opera")), "label 'opera' does not single out reading 0", "a label for two"),
    (broken(score=lambda *_: 0.5), "does not score 1", "gold answers that do not count"),
    (broken(f1=lambda *_: 1.5), "f1 of '' is 1.5", "a score above 1"),
    (
        broken(pick=lambda self, items, intent, episode: [intent]),
        "from a list without labels all items fit",
        "a user who knows the answer without being told which item it is",
    ),
    (broken(reply=chatty), "gives away 'Think of Ada Brandt", "a user who tells"),
    (broken(reply=lambda *_: ""), "no reply to", "a user who says nothing"),
    (broken(_episode=lambda *_: ASHFORD), "the id stands for two episodes", "splits that are one"),
    (
        broken(episode=lambda self, split, index: ASHFORD, sizes={"train": 1}),
        "episode -1 of split train should raise",
        "an index that is not there",
    ),
]


@pytest.mark.parametrize("task", [Toy(), clarify_env.make_task("almanac")])
def test_good_tasks_pass(task):
    check_task(task)


SIZES = [None, [3, 2], {"train": -1}, {"train": 3.5}, {"train": "3"}, {"train": True}, {5: 2}]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("use", [lambda task: clarify_env.evaluate("oracle", task), clarify_env.env])
def test_sizes_that_are_none_are_named_wherever_the_task_is_used(sizes, use):
    task = Toy()
    task.sizes = sizes
    with pytest.raises(ValueError, match=r"^task toy: sizes(\['train'\])? must be a (mapping|whole number)"):
        use(task)


WEIGHTS = [({"weight": 3.0}, "sum to 3.5"), ({"weight": float("nan")}, "weight nan")]


@pytest.mark.parametrize(("change", "fault"), WEIGHTS)
def test_what_is_measured_has_weights(change, fault):
    """Rewards would be weighted by them in silence."""
    with pytest.raises(ValueError, match=rf"^task .*, episode 0 of train: .*{fault}"):
        clarify_env.evaluate("oracle", serving(with_readings(ASHFORD, **change)), split="train")


def test_another_process_makes_the_same_episodes():
    check_task(Toy(), make=Toy)
    with pytest.raises(AssertionError, match="episode train/0 differs in another process"):
        check_task(Toy(), make=elsewhere)


class Caching(Toy):
    """Keeps what it makes by a wrapped method, which no other process can be handed."""

    def __init__(self):
        super().__init__()
        self._made = lru_cache(self._episode)


class Locking(Toy):
    """Holds a lock."""

    def __init__(self):
        super().__init__()
        self._lock = Lock()


class Connecting(Toy):
    """Holds an open database."""

    def __init__(self):
        super().__init__()
        self._database = sqlite3.connect(":memory:")


class Deciding(Toy):
    """Is scored by a lambda."""

    def __init__(self):
        super().__init__()
        self.rule = lambda answer: True


class Forgetting(Toy):
    """Loses what it is on its way."""

    def __init__(self, query="Who designed Ashford?"):
        super().__init__()
        self.query = query

    def __reduce__(self):
        return Forgetting, ("Who drew Ashford?",)

    def _episode(self, split, index):
        return super()._episode(split, index)._replace(query=self.query)


@pytest.mark.parametrize("make", [Caching, Locking, Connecting, Deciding], ids=lambda make: make.__name__)
def test_a_task_that_no_other_process_can_be_handed(make):
    with pytest.raises(AssertionError, match="task toy: another process that is handed it cannot use it"):
        check_task(make())


def test_a_task_that_another_process_deals_differently():
    with pytest.raises(AssertionError, match="is handed it deals or scores episode train/0 differently"):
        check_task(Forgetting())


@pytest.mark.parametrize(("task", "message", "why"), FAULTS)
def test_faults_of_a_task_are_named(task, message, why):
    with pytest.raises(AssertionError, match=message):
        check_task(task)


@pytest.mark.parametrize(("task", "message", "why"), MALFORMED)
def test_malformed_episodes_are_refused_in_play(task, message, why):
    with pytest.raises(ValueError, match=f"episode 0 of train: .*{message}"):
        clarify_env.evaluate("oracle", task, split="train")


@pytest.mark.parametrize("score", [float("nan"), 1.01, -0.5, None, "1"])
def test_a_score_that_is_none_ends_play(score):
    game = ClarificationGame(broken(score=lambda *_: score), ASHFORD, 0, (0.25, 0.03))
    game.apply(Reply("#ANSWER Ada Brandt"))
    with pytest.raises(ValueError, match=r"^task toy, episode train/0: the score of 'Ada Brandt' is .*, not a num"):
        game.apply(Reply("Ada Brandt"))


class Telling(ClarificationGame):
    """Hands the assistant the user's secret."""

    def facts(self, role, prices):
        facts = super().facts(role, prices)
        return facts._replace(context=self._secret) if role == "assistant" else facts


class Hinting(ClarificationGame):
    """Words the query by the intent."""

    def facts(self, role, prices):
        return super().facts(role, prices)._replace(query=f"{self.episode.query} ({self.hidden})")


class Endless(ClarificationGame):
    """Never ends."""

    def apply(self, reply):
        turn = super().apply(Reply("#CLARIFY"))
        self.max_questions += 1
        return turn


class Restless(ClarificationGame):
    """Goes on after its end."""

    def apply(self, reply):
        return super().apply(reply) if self.to_move else None


class Judged(ClarificationGame):
    """Waits for somebody who has no part in it."""

    def _user(self, text):
        super()._user(text)
        self.to_move = "judge"


class Hasty(ClarificationGame):
    """Has a result from the start."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.result = Result(0.0, {"questions": 0, "words": 0})


class Silent(ClarificationGame):
    """Ends without a result."""

    def _close(self, action, closing):
        self.to_move = None

    def apply(self, reply):
        turn = super().apply(reply)
        self.to_move = None
        return turn


class Crowded(ClarificationGame):
    """Has a role of which its description knows nothing."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.roles = (*self.roles, "judge")


class Overheard(ClarificationGame):
    """Lets everyone hear what was said to one role alone."""

    def say(self, sender, text, to=()):
        super().say(sender, text, ("user",))

    def heard(self, role):
        return self._messages


class Eavesdropping(Overheard):
    """Lets a role hear a private message until its turn comes."""

    def heard(self, role):
        return ClarificationGame.heard(self, role) if role == self.to_move else self._messages


class Wavering(ClarificationGame):
    """Tells a role more than its facts, which no trainer could state again."""

    def view(self, role):
        view = super().view(role)
        return view._replace(facts=view.facts._replace(query="Which one?"))


class Forgetful(ClarificationGame):
    """Has facts of the moment in place of those from the start."""

    def facts(self, role, prices):
        return super().facts(role, prices)._replace(episode_id=f"{next(COUNTED)}")


class Unhashable(ClarificationGame):
    """Has facts that can be changed."""

    def facts(self, role, prices):
        return [super().facts(role, prices)]


def ending(change):
    """A class of games whose result is changed at the end."""

    def close(self, action, closing):
        ClarificationGame._close(self, action, closing)
        self.result = change(self.result)

    return type("Changed", (ClarificationGame,), {"_close": close})


def using(**usage):
    """A class of games with another usage."""
    return ending(lambda result: result._replace(usage=usage))


class Baffled(ClarificationGame):
    """Does not know what a role knows."""

    def facts(self, role, prices):
        return {"assistant": super().facts("assistant", prices)}[role]


class Ghostly(ClarificationGame):
    """Says something in private to a role that there is not."""

    def say(self, sender, text, to=()):
        super().say(sender, text, ("ghost",) if sender == "assistant" else ())


class Untidy(ClarificationGame):
    """Addresses a role by a text in place of a tuple."""

    def say(self, sender, text, to=()):
        super().say(sender, text, "user")


class Unmade(ClarificationGame):
    """Cannot be dealt."""

    def __init__(self, *arguments, **options):
        raise KeyError("seats")


COUNTED = count()
GAME_FAULTS = [
    (Baffled, "facts\\(\\) of user raised KeyError: 'user'", "facts of one role alone"),
    (Ghostly, r"assistant says something to \('ghost',\), but those who play are assistant, user", "nobody to hear"),
    (Untidy, "assistant says something to 'user', which is no tuple of roles", "a text for a tuple"),
    (Unmade, "deal\\(\\) raised KeyError: 'seats'", "a game that cannot be dealt"),
    (Telling, "assistant is handed a Secret", "a secret in the facts"),
    (Hinting, "a blind role sees something else for another intent", "a query that tells"),
    (Endless, "not over after 100 moves", "no end"),
    (Restless, "a move after its end should raise ValueError", "moves after the end"),
    (Judged, "'judge' is to move, who has no part in it", "a stranger to move"),
    (Hasty, "it has a result before it is over", "a result too early"),
    (Silent, "over, but without a result", "no result"),
    (Crowded, "its roles are not those of its description", "a role too many"),
    (Overheard, r"assistant hears a message to user", "a private message that another role hears"),
    (Eavesdropping, r"assistant hears a message to user", "the same, while it is not to move"),
    (Wavering, r"view_at\(\) of what .* has heard sees something else", "a view that view_at does not make"),
    (Forgetful, "a fork of the game sees something else", "facts that change"),
    (Unhashable, "cannot be hashed", "facts in a list"),
    (ending(lambda result: result._replace(score=2.0)), "score 2.0 of the game is not in", "more than 1"),
    (ending(lambda result: result._replace(score=float("nan"))), "score nan of the game is not in", "no number"),
    (
        ending(lambda result: result._replace(by_role={"user": result._replace(score=-1.0)})),
        "score -1.0 of user is not in",
        "a role's own score",
    ),
    (using(words=1, questions=0), "usage is \\('words', 'questions'\\), not", "usage in another order"),
    (using(words=1), "usage is \\('words',\\), not", "usage without a name"),
    (using(questions=0, words=1, calls=2), "'calls'\\), not", "usage of which the description does not know"),
    (using(questions=0, words=float("inf")), "the reward is not finite", "endless usage"),
    (using(questions=0, words=np.int64(1)), "the result changes on its way through JSON", "usage that is not JSON"),
    (
        ending(lambda result: result._replace(by_role={"user": result._replace(usage={})})),
        "usage is \\(\\), not",
        "a role's own usage",
    ),
    (
        ending(lambda result: result._replace(usage={"questions": next(COUNTED), "words": 0})),
        "its messages played again end otherwise",
        "a result that follows not from the messages",
    ),
]


def described(game=ClarificationGame, **attributes):
    """The clarification game with another class of games, or something else in its description."""
    return type("Described", (Clarification,), {"name": "broken", "game": game} | attributes)()


@pytest.mark.parametrize(
    "options", [{}, {"max_questions": 0}, {"leaks": "redact"}, {"leaks": "end"}, {"reasoning": "charged"}]
)
def test_a_good_game_passes(options):
    check_game(Toy(), **options)


@pytest.mark.parametrize(("game", "message", "why"), GAME_FAULTS)
def test_faults_of_a_game_are_named(game, message, why):
    with pytest.raises(AssertionError, match=f"^game broken, episode train/0: .*{message}"):
        check_game(Toy(), described(game))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"weights": lambda self, episode: (0.5, 0.3)}, r"the weights of what is hidden are \(0.5, 0.3\)"),
        ({"weights": lambda self, episode: (0.5, 0.5, 0.0)}, "the weights of what is hidden are"),
        ({"weights": lambda self, episode: ()}, r"the weights of what is hidden are \(\), not positive numbers"),
        (
            {"weights": lambda self, episode: ("half", "half")},
            "the weights of what is hidden are .*, not positive",
        ),
        ({"weights": lambda self, episode: (1.5, -0.5)}, "the weights of what is hidden are .*, not positive numbers"),
        ({"weights": lambda self, episode: (float("nan"),)}, "the weights of what is hidden are .*, not positive"),
        ({"weights": lambda self, episode: 1 / 0}, r"weights\(\) raised ZeroDivisionError: division by zero"),
        ({"weights": lambda self, episode: 1.0}, r"weights\(\) raised TypeError: 'float' object is not iterable"),
        ({"measures": lambda *_: {"fun": float("nan")}}, "a measure is not finite: {'fun': nan}"),
        ({"measures": lambda *_: {"fun": "much"}}, r"measures\(\) raised TypeError"),
        ({"chat": lambda self, view, style: 1 / 0}, r"chat\(\) of assistant raised ZeroDivisionError"),
        ({"chat": lambda self, view, style: ["hello"]}, r"chat\(\) of assistant is no list of messages with role and"),
        ({"transcript": lambda self, view: None}, r"transcript\(\) of assistant is None, not a text"),
    ],
)
def test_faults_of_a_description_are_named(attributes, message):
    with pytest.raises(AssertionError, match=f"^game broken, episode train/0: {message}"):
        check_game(Toy(), described(**attributes))


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (lambda self, **options: 1 / 0, r"plane\(\) raised ZeroDivisionError"),
        (lambda self, **options: FixedPrices((0.1,)), r"its plane has prices \(0.1,\): costs must be a pair"),
        (lambda self, **options: FixedPrices((0.1, -1.0)), "its plane has prices .*: costs.beta must be a finite"),
    ],
)
def test_prices_of_a_plane_are_checked(plane, message):
    with pytest.raises(AssertionError, match=f"^game broken: {message}"):
        check_game(Toy(), described(plane=plane))


def test_a_game_is_found_by_name(monkeypatch):
    monkeypatch.setitem(games._LOADED, "broken", described(Endless))
    with pytest.raises(AssertionError, match="not over after 100 moves"):
        check_game(Toy(), "broken")
