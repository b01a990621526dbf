"""Readers and metrics on made-up texts and records: no exception, reflexive, and symmetric where symmetry is meant."""

import json
import random
import sqlite3
import unicodedata

import pytest
from test_abgcoqa import PETS
from test_abgcoqa import WHOLE as STORIES
from test_ambigqa import GOLF_CHESS, record, single
from test_pacific import CLARIFIED, CLEAR, dialogue
from test_qa_jsonl import question

from clarify_env.games.clarification.oracle import solve
from clarify_env.scores.answers import normalize, normalize_with_symbols
from clarify_env.scores.drop import number
from clarify_env.scores.execution import execute, execution_match, is_ordered, runs_together
from clarify_env.scores.metrics import SCORES, SYMBOLS, episode_metric
from clarify_env.tasks import make_task
from clarify_env.tasks.reader import MALFORMED

# Numbers of cases: a quick subset for every run of the tests, all of them where slow tests are run.
SIZES = [pytest.param(400, id="quick"), pytest.param(20_000, id="all", marks=pytest.mark.slow)]

WORDS = """a A an the The and or of Ada Brandt option C C++ C# .NET O- A+ AC/DC U.S. it's re-sign state-of-the-art
million thousand percent hundred only x y -5 5 5. 1.5 15 $5 5% (12) (12)% 1,000 1000 1e-07 2e5 1,5 10:30 12-13 5! Q4
2019""".split()
ODD = [
    *"\u2019\u201c\u201d\u2013\u2014\u2212\u00b2\u00bd\u2044\u00a0\u202f\u3000\u200b\u00ad\u2026\u00b4\ufdfa\ufb01\uff15\uff05",
    *"\u0301\u00e9\u212b\u1e9e\u0130\ud55c\u0661\u20ac\U0001f600\ud800\x00\x1b\x85;:.,!?'\"()[]{}<>|\\/_#@^~`%$&*=+-",
]
SPACES = [" ", " ", " ", "  ", "\n", "", "; ", "-", "_"]


def made_up_text(rng):
    """A text of words, odd characters, numbers as programs write them, and spaces."""
    parts = []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        kind = rng.random()
        if kind < 0.6:
            parts.append(rng.choice(WORDS))
        elif kind < 0.8:
            parts.append("".join(rng.choice(ODD) for _ in range(rng.randint(1, 3))))
        else:
            value = rng.choice((-1, 1)) * rng.uniform(0, 10) * 10.0 ** rng.randint(-12, 12)
            parts.append(rng.choice(("{!r}", "{:.10g}", "{:,.2f}", "{:.0f}%", "({:.1f})", "$ {:.2f}")).format(value))
        parts.append(rng.choice(SPACES))
    return "".join(parts)


@pytest.mark.parametrize("size", SIZES)
def test_answer_pairs(size):
    rng = random.Random(size)
    for _ in range(size):
        one, other = made_up_text(rng), made_up_text(rng)
        if rng.random() < 0.3:  # a near miss
            at = rng.randint(0, len(one))
            other = one[:at] + rng.choice((*ODD, *SPACES)) + one[at + rng.randint(0, 2) :]
        forms = [] if "\ud800" in one else [(form, unicodedata.normalize(form, one)) for form in ("NFC", "NFD")]
        forms = [(form, composed) for form, composed in forms if composed != one]
        for name, score in SCORES.items():
            values = score(one, [other]), score(other, [one])
            assert all(0 <= value <= 1 for value in values), (name, one, other)
            # A hyphen splits a word in a gold answer only, so DROP's F1 is not symmetric.
            if not name.startswith("drop") or "-" not in normalize_hyphens(one + other):
                assert values[0] == pytest.approx(values[1], abs=1e-12), (name, one, other)
            for text in (one, other):
                assert score(text, [text]) == (1 if normalize(text) else 0), (name, text)
                assert score(text, [other, text, one]) == (1 if normalize(text) else 0), (name, text)
            for form, composed in forms:
                assert score(composed, [other]) == values[0], (name, form, one, other)
        for name in ("em", "f1", "drop"):
            metric = episode_metric(name, ((one,), (other,)))
            if SCORES[name + SYMBOLS](one, [other]) < 1:
                assert SCORES[metric](one, [other]) < 1 or "-" in normalize_hyphens(one + other), (name, one, other)
        if (value := number(one)) is not None:
            assert number(repr(value)) == value and number(f"{value:.10g}") == float(f"{value:.10g}"), one
        assert (normalize(one) == "") == (normalize_with_symbols(one) == ""), one


def normalize_hyphens(text):
    """The text with every dash as a hyphen."""
    return "".join("-" if unicodedata.category(c) == "Pd" or c in "\u2212\u2043" else c for c in text)


def spoiled(value, rng, depth=0):
    """The value with something in it changed at random."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        change = rng.random()
        if change < 0.1:
            return {other: part for other, part in value.items() if other != key}
        if change < 0.15:
            return value | {made_up_text(rng).replace("\ud800", ""): 1}
        return value | {key: spoiled(value[key], rng, depth + 1)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], *([] if rng.random() < 0.1 else [spoiled(value[at], rng, depth + 1)]), *value[at + 1 :]]
    return rng.choice(
        [
            *(
                None,
                True,
                -1,
                0,
                3,
                1.5,
                1e308,
                10**400,
                "",
                " ",
                [],
                {},
                [[]],
                [None],
                "test",
                "\ud800",
                "5 %",
                "(12 )",
            ),
            *(made_up_text(rng), made_up_text(rng), made_up_text(rng), rng.random(), rng.randint(-5, 5)),
        ]
    )


def wild_question(rng, i):
    answers = [made_up_text(rng) or "x" for _ in range(rng.randint(1, 4))]
    whole = question(f"Name{i}", *answers, id=f"q{i}")
    for reading in whole["interpretations"]:
        reading["answers"] += [made_up_text(rng) for _ in range(rng.randint(0, 2))]
        if rng.random() < 0.1:
            reading["weight"] = rng.choice((1, 2, 0.5, 1e-9, 1e200))
    return whole


def wild_ambigqa(rng, i):
    annotation = rng.choice((single(made_up_text(rng), "Abel"), GOLF_CHESS))
    whole = record(f"r{i}", annotation, question=f"Who won cup {i}?")
    return json.loads(json.dumps(whole).replace("Bauer", json.dumps(made_up_text(rng))[1:-1]))


def wild_story(rng, i):
    return PETS | {"id": f"s{i}|1", "story": f"Story {i}.", "target_turn": {"question": "Who?", "answer": "Ann"}}


def wild_dialogue(rng, i):
    turns = rng.choice([turns for turns, *_ in CLARIFIED] + [[CLEAR]])
    whole = dialogue(f"table {i}", *turns)
    table = whole["table"]["table"]
    table[rng.randrange(len(table))][rng.randrange(4)] = made_up_text(rng).replace("\ud800", "")
    return whole


MAKERS = {"qa_jsonl": wild_question, "ambigqa": wild_ambigqa, "abgcoqa": wild_story, "pacific": wild_dialogue}
PER_FILE = 100


def check_file(name, path, rng):
    """Reads a file; a refusal is one sentence that names it, and what is read keeps its promises."""
    for strict in (True, False):
        try:
            task = make_task(name, path=path, strict=strict, world_seed=rng.randint(0, 3))
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error), str(error)
            continue
        assert sum(task.sizes.values()) > 0 and f": {task.usable} of " in task.report()
        assert not strict or MALFORMED not in task.dropped
        for split in task.sizes:
            for episode in task.episodes(split):
                readings = episode.interpretations
                assert abs(sum(reading.weight for reading in readings) - 1) < 1e-9
                for i, reading in enumerate(readings):
                    assert all(task.score(answer, i, episode) == 1 for answer in reading.answers), episode
                    assert task.pick([], i, episode) == [] and 0 <= task.f1(reading.text, i, episode) <= 1
                if rng.random() < 0.02:
                    assert solve(task, [episode])[0].plans


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [pytest.param(1_200, id="quick"), SIZES[1]])
def test_records(name, size, tmp_path, caplog):
    rng = random.Random(f"{name} {size}")
    for start in range(0, size, PER_FILE * len(MAKERS)):
        values = [MAKERS[name](rng, i) for i in range(start, start + PER_FILE)]
        share = rng.choice((0, 0.02, 0.3, 1))
        values = [spoiled(value, rng) if rng.random() < share else value for value in values]
        path = tmp_path / f"{start}.json"
        if name == "qa_jsonl":
            texts = [json.dumps(value, ensure_ascii=rng.random() < 0.5) for value in values]
            for i in range(len(texts)):
                if rng.random() < 0.05 * share:
                    cut = rng.randint(0, len(texts[i]))
                    texts[i] = texts[i][:cut] + rng.choice(("", "\x00", "NaN", "}", '"id": "a", "id": "b"}'))
            content = "\n".join(texts).encode("utf-8", rng.choice(("surrogatepass", "replace")))
        else:
            whole = {"data": values} if name == "abgcoqa" else values
            content = json.dumps(spoiled(whole, rng) if rng.random() < 0.1 else whole).encode()
        path.write_bytes(content)
        check_file(name, path, rng)
        path.unlink()
    assert STORIES["version"] == "1", "what is shared with other tests is as it was"


def made_up_query(rng):
    """A query that mostly runs, in one of many spellings."""
    name, table = rng.choice(("name", '"name"', "[name]", "t.name", '"t".name')), rng.choice(("t", '"t"', "[t]"))
    bound, space = (
        rng.choice(("-5", "+.5", "1e1", "'a'", "(SELECT 2)", "size", "é")),
        rng.choice((" ", "", "\n", "/**/")),
    )
    where = rng.choice(("", f" WHERE size{space}{rng.choice(('>', '<=', '<>', '=', 'IS'))}{space}{bound}"))
    order = rng.choice(("", "", " ORDER BY size", " ORDER  BY name DESC LIMIT 2", " -- ORDER BY size", " /* open"))
    made = f"SELECT{space if space else ' '}{name} FROM {table}{where}{order}"
    if rng.random() < 0.2:
        at = rng.randint(0, len(made))
        made = made[:at] + rng.choice((*ODD, *WORDS)) + made[at + rng.randint(0, 3) :]
    return made


@pytest.mark.parametrize("size", [pytest.param(60, id="quick"), pytest.param(3_000, id="all", marks=pytest.mark.slow)])
def test_queries(size, tmp_path):
    path, rng = tmp_path / "t.sqlite", random.Random(size)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (name TEXT, size REAL)")
    rows = [("a", -7), ("b", 3), ("caf\xe9", 10), ("b", None)]
    connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    connection.execute("INSERT INTO t VALUES (CAST(x'ff27' AS TEXT), 1)")
    connection.commit()
    connection.close()
    runnable = 0
    for _ in range(size):
        one, other = made_up_query(rng), made_up_query(rng)
        results = [execute(path, query) is not None for query in (one, other)]
        for query, gold, runs in ((one, other, results[1]), (other, one, results[0])):
            if runs:
                assert execution_match(query, gold, [path]) in (0, 1) and execution_match(gold, gold, [path]) == 1
            else:
                with pytest.raises(ValueError, match="the gold query cannot be run"):
                    execution_match(query, gold, [path])
        if all(results) and is_ordered(one) == is_ordered(other) and not (runs_together(one) or runs_together(other)):
            runnable += 1
            assert execution_match(one, other, [path]) == execution_match(other, one, [path]), (one, other)
    assert runnable > size / 30
