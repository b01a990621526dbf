import re
import string

import numpy as np
import pytest

from clarify_env.scoring import exact_match, normalize, token_f1


def squad_normalize(text):
    """The reference: evaluate-v1.1 of SQuAD, as published."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


@pytest.mark.parametrize(
    ("text", "normal", "why"),
    [
        ("The Ada  Brandt!", "ada brandt", "case, article, punctuation and white space go"),
        ("A", "", "an article alone is nothing"),
        ("Anna", "anna", "an article inside a word stays"),
        ("10:30", "1030", "punctuation goes wherever it stands"),
        ("Ada_Brandt", "adabrandt", "so does the underscore"),
        ("Ada\u200b Brandt", "ada brandt", "what cannot be seen goes first"),
        ("é", "é", "letters with accents stay"),
    ],
)
def test_normalize(text, normal, why):
    assert normalize(text) == normal, why


def test_normalisation_is_squads():
    rng = np.random.default_rng(0)
    parts = ["The ", "a ", "an", "Ada", " ", "-", "'s", "B.", "\t", "_", "é", ", ", "theatre", "A.", "1,000", "$"]
    for _ in range(2000):
        text = "".join(parts[i] for i in rng.integers(len(parts), size=8))
        assert normalize(text) == squad_normalize(text)


@pytest.mark.parametrize(
    ("said", "answers", "em", "f1", "why"),
    [
        ("Ada Brandt", ["Ada Brandt"], 1, 1, "right"),
        ("brandt", ["Ada Brandt", "Brandt"], 1, 1, "the best alias counts"),
        ("Brandt Ada", ["Ada Brandt"], 0, 1, "F1 knows no order"),
        ("Ada", ["Ada Brandt"], 0, 2 / 3, "half of it: precision 1, recall 1/2"),
        ("Ada Ada", ["Ada Brandt"], 0, 1 / 2, "a repeated word counts as often as it is in both"),
        ("Jon", ["Ada Brandt"], 0, 0, "wrong"),
        ("Ada Brandt; Jon Vale", ["Ada Brandt"], 0, 2 / 3, "one that lists every candidate is not right"),
        ("Brandts", ["Brandt"], 0, 0, "a part of a word is not the word"),
        ("", ["Ada"], 0, 0, "nothing said"),
        ("the", ["The"], 0, 0, "nothing left after normalisation earns nothing"),
        ("Ada", [], 0, 0, "no answer to match"),
    ],
)
def test_scores(said, answers, em, f1, why):
    assert exact_match(said, answers) == em, why
    assert token_f1(said, answers) == pytest.approx(f1), why
