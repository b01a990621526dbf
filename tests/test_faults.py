"""The fault report of a role."""

import json
import pickle

import numpy as np
import pytest
from toy_games import SETUP, TASK, Mumbler, games
from toys import ASHFORD

from clarify_env.evaluation.faults import FaultCounts, ends_of, fault_report
from clarify_env.evaluation.intervals import clustered_share
from clarify_env.evaluation.played import play_all
from clarify_env.games.clarification.strategies import ScriptedAssistant

ASK = "#CLARIFY Which kind?"
CLEAN = ["leak", "ungrounded", "wrong_reading", "no_answer", "speaks_for_assistant", "unended", "any"]


def played(reply, closing="Brandt", intents=(0, 1, 2)):
    user = Mumbler(lambda view: reply if view.turn == 1 else closing)
    return games(ASK, {reply: "#ANSWER Brandt"}, intents=intents, user=user)


def test_messages_are_counted_by_kind_with_examples():
    report = fault_report(SETUP, "user", played("The opera, by Jon Vale"), ended=lambda reply: reply.text == "Brandt")
    assert (report["deals"], report["messages"]) == (3, 6)
    assert list(report["kinds"]) == CLEAN
    counts = {name: (row["count"], row["of"]) for name, row in report["kinds"].items()}
    # The opera's user tells the answer; the film's and the bridge's name another reading.
    expected = {"leak": (1, 3), "ungrounded": (0, 3), "wrong_reading": (2, 6), "no_answer": (0, 6)}
    assert counts == expected | {"speaks_for_assistant": (0, 6), "unended": (3, 6), "any": (3, 6)}
    assert report["kinds"]["leak"]["rate"] == pytest.approx(1 / 3)
    (example,) = report["examples"]["leak"]
    assert example["turns"] == [["assistant", ASK], ["user", "The opera, by Jon Vale"]]
    assert example["intent"] == ASHFORD.interpretations[1].text and json.dumps(report)
    assert len(fault_report(SETUP, "user", played("Film!") * 9, examples=2)["examples"]["wrong_reading"]) == 2


def test_counts_of_parts_add_up_across_processes():
    whole = FaultCounts(SETUP, "user")
    parts = [FaultCounts(SETUP, "user") for _ in range(2)]
    for counts, reply in zip(parts, ("The film one.", "The opera, by Jon Vale"), strict=True):
        counts.add(played(reply))
        whole.add(played(reply))
    merged = FaultCounts(SETUP, "user")
    for counts in parts:
        merged.merge(pickle.loads(pickle.dumps(counts)))
    assert merged.report() == whole.report()


def test_no_message_is_no_rate():
    report = fault_report(SETUP, "user", [])
    assert {(row["rate"], row["ci"]) for row in report["kinds"].values()} == {(None, None)}


def test_all_games_of_an_evaluation_are_judged():
    agents = {"assistant": ScriptedAssistant(TASK, "ask"), "user": Mumbler(lambda view: "Film!")}
    measured = play_all(SETUP, [ASHFORD], [(0.1, 0.01)] * 2, agents, ("assistant",), seed=0, chunk=9, judged=("user",))
    (counts,) = measured.faults
    assert counts.report()["messages"] == 2 * measured.games == 12
    assert play_all(SETUP, [ASHFORD], [(0.1, 0.01)], agents, ("assistant",), seed=0, chunk=9).faults == ()


def test_only_an_agent_that_knows_says_that_a_message_did_not_end(tiny):
    from agents.hf import HFAgent
    from clarify_env.games.base import Reply

    agent = HFAgent(*tiny, style="pocket")
    ended = ends_of(agent)
    assert ended(Reply("a", ids=(5, agent.renderer.end_id))) and not ended(Reply("a", ids=(5, 5)))
    assert ended(Reply("a")) and ends_of(Mumbler(None))(Reply("a", ids=(5,)))


@pytest.mark.parametrize(
    ("hits", "totals", "low", "high", "why"),
    [
        ([0] * 100, [1] * 100, 0.0, 0.037, "Wilson's, of 100 trials"),
        ([0] * 10, [10] * 10, 0.0, 0.278, "of ten clusters, however many trials"),
        ([5] * 20, [10] * 20, 0.431, 0.569, "clusters that are all alike: as many as the trials"),
        ([10, 0] * 10, [10] * 20, 0.302, 0.698, "clusters that are whole: about as many as clusters"),
    ],
)
def test_the_interval_of_a_share_is_by_cluster(hits, totals, low, high, why):
    assert clustered_share(np.array(hits), np.array(totals)) == pytest.approx([low, high], abs=0.01), why


def test_a_share_of_nothing_has_no_interval():
    assert clustered_share(np.zeros(3), np.zeros(3)) is None
