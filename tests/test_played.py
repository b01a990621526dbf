"""Playing every episode at every price: exact over what is hidden, whatever the chunks; and the sample of games."""

from collections import Counter

import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import Costs
from clarify_env.evaluation.played import play_all
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.actions import KINDS
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup

TASK = Toy()
SETUP = Setup(find_game("clarification"), TASK)
EPISODES, PRICES = [ASHFORD, DUNLEY], (Costs(0.1, 0.02), Costs(0.3, 0.1), Costs(0.9, 0.001))


def play_with(assistant, setup=SETUP, episodes=EPISODES, prices=PRICES, **options):
    players = {"assistant": assistant, "user": ScriptedUser(TASK)}
    return play_all(setup, episodes, prices, players, ("assistant",), **({"seed": 0, "chunk": 4} | options))


def toys(name, **options):
    return play_with(ScriptedAssistant(TASK, name), **options)


class Says:
    """Always sends the same message."""

    def __init__(self, text):
        self.text, self.name = text, "says"

    def act(self, views, seeds, openings=None):
        return [Reply(self.text) for _ in views]


class Thoughtful(ScriptedAssistant):
    """Thinks aloud, by a tag too, before it says what its strategy does."""

    def say(self, view):
        return f"Perhaps #ANSWER.\n{super().say(view)}"


@pytest.mark.parametrize("name", ["list", "ask", "oracle"])
def test_what_stands_before_the_tag_is_no_first_action(name):
    beta = np.array(PRICES)[:, 1]
    plain, free, charged = (
        play_with(assistant, setup=SETUP._replace(options=options))
        for assistant, options in [
            (ScriptedAssistant(TASK, name), {}),
            (Thoughtful(TASK, name), {"reasoning": "free"}),
            (Thoughtful(TASK, name), {"reasoning": "charged"}),
        ]
    )
    assert (free.first == plain.first).all() and (charged.first == plain.first).all()
    assert all(np.array_equal(free.values[key], plain.values[key]) for key in plain.values)
    spent = 2 * (1 + plain.values["questions"])
    assert np.allclose(charged.values["words"], plain.values["words"] + spent)
    assert np.allclose(charged.values["reward"], plain.values["reward"] - beta * spent)


def test_values_are_exact_over_intents():
    played = toys("guess")
    assert played.values["accuracy"].tolist() == [[0.5] * 3, [1] * 3], "the first reading is meant half of the time"
    assert np.allclose(played.values["reward"][0], [0.5 - costs.beta for costs in PRICES]), "Brandt: one word"
    assert played.games == 3 * (3 + 1)
    assert (played.first == KINDS.index("answer")).all()


def test_values_do_not_depend_on_the_chunks():
    for name in ("oracle", "list"):
        whole = toys(name, chunk=100)
        for chunk in (1, 4):
            part = toys(name, chunk=chunk)
            assert all((part.values[key] == whole.values[key]).all() for key in whole.values)


def test_progress_counts_pairs():
    counted = []
    toys("guess", progress=counted.append)
    assert sum(counted) == len(EPISODES) * len(PRICES)


def test_what_a_lot_decided_is_marked():
    assert play_with(Says("#MULTI_ANS Brandt; Jon Vale")).by_lot.all() and not toys("list").by_lot.any()


def test_one_first_message_is_carried_on_for_every_intent():
    class Counts(Says):
        """Says another thing at every turn."""

        turns = 0

        def act(self, views, seeds, openings=None):
            replies = []
            for _ in views:
                self.turns += 1
                replies.append(Reply(f"#ANSWER thing {self.turns}"))
            return replies

    assistant = Counts("")
    played = play_with(assistant, sample=6)
    assert assistant.turns == 6, "one first message a pair, not one a game"
    assert len({game.turns[0].reply.text for game, _ in played.transcripts}) == 6


def test_rows_are_those_of_some_episodes():
    whole = toys("oracle", sample=3)
    chosen = whole.rows([1])
    assert all((chosen.values[name] == value[1:]).all() for name, value in whole.values.items())
    assert (chosen.first == whole.first[1:]).all() and (chosen.by_lot == whole.by_lot[1:]).all()
    assert chosen.transcripts == [] and chosen.games == whole.games


# The sample of games. The episodes weigh their readings in opposite order, so that neither the first possibility nor
# the other episode's weights stand for the right ones.
REVERSED = ASHFORD._replace(
    id="train/1",
    interpretations=tuple(
        reading._replace(weight=weight)
        for reading, weight in zip(ASHFORD.interpretations, (0.1, 0.25, 0.65), strict=True)
    ),
)
UNEQUAL = [ASHFORD, REVERSED]
MANY = tuple(Costs(0.1 + i / 1000, 0.02) for i in range(600))


class TwoQuestions(Toy):
    """The toy task with both episodes to train on."""

    sizes = {"train": 2, "test": 1}

    def _episode(self, split, index):
        return UNEQUAL[index] if split == "train" else DUNLEY


SAMPLED = SETUP._replace(task=TwoQuestions())


def sampled(prices, sample, seed=0, chunk=64):
    played = play_with(Says("#ANSWER Brandt"), SAMPLED, UNEQUAL, prices=prices, sample=sample, seed=seed, chunk=chunk)
    return [(UNEQUAL.index(TASK_OF[game.episode_id]), at, game) for game, at in played.transcripts]


TASK_OF = {episode.id: episode for episode in UNEQUAL}


@pytest.mark.parametrize("chunk", [1, 64])
def test_a_transcript_shows_each_possibility_as_often_as_it_weighs(chunk):
    drawn = sampled(MANY, len(UNEQUAL) * len(MANY), chunk=chunk)
    for index, episode in enumerate(UNEQUAL):
        counts = Counter(game.hidden for e, _, game in drawn if e == index)
        shares = [counts[hidden] / len(MANY) for hidden in range(3)]
        assert shares == pytest.approx([reading.weight for reading in episode.interpretations], abs=0.05)
    for _, at, game in drawn:
        assert game.prices == MANY[at], "at the prices it was played at"


def test_transcripts_are_of_distinct_pairs_drawn_evenly():
    few, counts = MANY[:5], Counter()
    for seed in range(400):
        pairs = [(e, at) for e, at, _ in sampled(few, 4, seed)]
        assert len(set(pairs)) == len(pairs) == 4, "without replacement"
        counts.update(pairs)
    assert len(counts) == 10 and all(abs(count / 400 - 0.4) < 0.1 for count in counts.values()), "each pair alike"
    assert len(sampled(few, 100)) == 10, "a game of each pair at most"
    assert sampled(few, 0) == []


def test_transcripts_follow_from_the_seed_alone():
    """The seed of the evaluation decides them, neither numpy's own state nor the chunks do."""
    whole = sampled(MANY[:20], 10, seed=5)
    for chunk in (1, 7, 1000):
        np.random.seed(chunk)
        drawn = sampled(MANY[:20], 10, seed=5, chunk=chunk)
        assert [(e, at, game.hidden) for e, at, game in drawn] == [(e, at, game.hidden) for e, at, game in whole]
    assert sampled(MANY[:20], 10, seed=5) == whole
    every = [tuple(game.hidden for *_, game in sampled(MANY[:10], 20, seed=seed)) for seed in range(10)]
    assert len(set(every)) == 10, "which games are kept depends on the seed, though the pairs are the same"


def test_a_sample_changes_no_value():
    plain, shown = toys("oracle"), toys("oracle", sample=6)
    assert all((plain.values[name] == value).all() for name, value in shown.values.items())
