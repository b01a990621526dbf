"""The benchmark that tells misread costs from wrong choices."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from toys import ASHFORD, Toy

from clarify_env.costs import Costs
from clarify_env.games.clarification.oracle import ACTIONS

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "read_costs.py"))
PRICES = [Costs(0.4, 0.03), Costs(0.2, 0.05), Costs(0.4, 0.03)]


class Asks:
    """Asks the oftener, the cheaper it is, and never lists; each tag has two tokens. Its own renderer and sampler."""

    @property
    def renderer(self):
        return self

    sampler = renderer

    def encode(self, view):
        return view.facts.costs

    def tokenize_reply(self, text):
        return (text[1], text[2], "end")

    def logprobs(self, rows):
        chances = {
            "CL": lambda costs: 0.9 * (1 - costs.alpha),
            "AN": lambda costs: 0.9 * costs.alpha,
            "MU": lambda costs: 0.0,
        }
        with np.errstate(divide="ignore"):
            return [[np.log(chances["".join(row.ids)](row.prompt_ids)), 0.0] for row in rows]


def test_chances_of_tags_stand_by_the_costs_as_given():
    probabilities = BENCHMARK["tag_probabilities"](Asks(), Toy(), [ASHFORD, ASHFORD], PRICES)
    assert probabilities.shape == (2, 3, len(ACTIONS))
    assert probabilities[..., ACTIONS.index("clarify")] == pytest.approx(np.array([[0.6, 0.8, 0.6]] * 2)), (
        "of what tags there are"
    )
    assert probabilities.sum(2) == pytest.approx(1) and not probabilities[..., ACTIONS.index("multi_answer")].any()


def test_what_is_lost_is_a_share_of_what_could_be_earned():
    earned = np.array([[[0.5, 0.3, -np.inf], [0.1, 0.4, 0.3]]])
    assert BENCHMARK["lost"](np.array([[[1.0, 0, 0], [0, 1, 0]]]), earned) == "0.0 %"
    assert BENCHMARK["lost"](np.array([[[0.5, 0.5, 0], [1, 0, 0]]]), earned) == f"{100 * (0.1 + 0.3) / 0.9:.1f} %"
    valueless = np.array([[[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]])
    assert BENCHMARK["lost"](valueless, earned) == f"{100 * 0.05 / 0.9:.1f} %", "an action without a value is left out"
