"""Bootstrap intervals over entities and runs."""

import numpy as np
import pytest
from toys import ASHFORD

from clarify_env.evaluation.intervals import bootstrap, interval


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


def test_an_entity_of_many_questions_counts_for_as_many():
    episodes = [entity("one", 0), *(entity("nine", i) for i in range(1, 10))]
    assert bootstrap(np.array([[0.0]] + [[1.0]] * 9), episodes, 0) == [0, 1], "either entity may be drawn twice"


def test_runs_are_drawn_as_well_as_entities():
    about = [str(i // 2) for i in range(100)]
    same = np.tile(np.linspace(0, 1, 100), (3, 1))
    low, high = interval(same, about, 0)
    assert interval(same[:1], about, 0) == pytest.approx([low, high], abs=0.02), "runs alike widen nothing"
    apart = same + np.array([[-0.5], [0.0], [0.5]])
    wide = interval(apart, about, 0)
    # Three runs drawn of three: their mean is off by half with probability 1/27 to each side.
    assert wide[0] < low - 0.2 and wide[1] > high + 0.2
    assert interval(apart[:, :1] * 0 + 2.0, about[:1], 0) == [2, 2]
