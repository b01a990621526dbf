import pytest
from toys import ASHFORD, DUNLEY, Toy

import clarify_env
from clarify_env import games
from clarify_env.games.base import Reply
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


FAULTS = [
    (Drifting(), "asked for twice, it differs", "an episode that changes"),
    (serving(ASHFORD._replace(id="train/7")), "lookup\\(\\) of its id does not", "an id that leads nowhere"),
    (serving(ASHFORD._replace(id="test/0")), "lookup\\(\\) of its id does not", "an id that leads elsewhere"),
    (serving(ASHFORD._replace(meta={"set": {1}})), "meta changes on its way through JSON", "meta that is not JSON"),
    (serving(ASHFORD._replace(meta={1: 2})), "meta changes on its way through JSON", "meta that comes back changed"),
    (serving(ASHFORD._replace(meta=DUNLEY.meta)), "its entity is also in split train", "splits that share an entity"),
    (serving(ASHFORD._replace(interpretations=())), "it has no readings", "nothing to mean"),
    (serving(with_readings(ASHFORD, answers=["Ada"])), "something that can be changed", "answers in a list"),
    (serving(with_readings(ASHFORD, weight=0.6)), "weights sum to 1.1, not 1", "weights that are too much"),
    (serving(with_readings(ASHFORD, weight=0.0)), "so it is never meant", "a reading nobody means"),
    (serving(with_readings(ASHFORD, answers=())), "reading 0 has no answer", "no gold answer"),
    (serving(with_readings(ASHFORD, answers=("The",))), "'The' is empty after normalisation", "nothing to match"),
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


def test_another_process_makes_the_same_episodes():
    check_task(Toy(), make=Toy)
    with pytest.raises(AssertionError, match="episode train/0 differs in another process"):
        check_task(Toy(), make=elsewhere)


@pytest.mark.parametrize(("task", "message", "why"), FAULTS)
def test_faults_of_a_task_are_named(task, message, why):
    with pytest.raises(AssertionError, match=message):
        check_task(task)


class Telling(ClarificationGame):
    """Hands the assistant the user's secret."""

    def view(self, role):
        return super().view(role)._replace(secret=self._secret)


class Hinting(ClarificationGame):
    """Words the query by the intent."""

    def view(self, role):
        return super().view(role)._replace(query=f"{self.episode.query} ({self.intent})")


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


class Generous(ClarificationGame):
    """Pays more than 1."""

    def _close(self, action, closing):
        super()._close(action, closing)
        self.outcome = self.outcome._replace(accuracy=2.0)


@pytest.mark.parametrize("options", [{}, {"max_questions": 0}, {"redact_leaks": True}, {"reasoning": "charged"}])
def test_a_good_game_passes(options):
    check_game(Toy(), **options)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (Telling, "the assistant is handed a Secret"),
        (Hinting, "the assistant sees something else for another intent"),
        (Endless, "not over after 100 moves"),
        (Restless, "a move after its end should raise ValueError"),
        (Generous, "accuracy 2.0 is not in"),
    ],
)
def test_faults_of_a_game_are_named(game, message, monkeypatch):
    game = type(game.__name__, (game,), {"fork": lambda self, intent: self})
    monkeypatch.setitem(games._LOADED, "broken", game)
    with pytest.raises(AssertionError, match=message):
        check_game(Toy(), "broken")
