import re
import string

import numpy as np
import pytest

from clarify_env.scores.answers import exact_match, normalize, token_f1


def squad_normalize(text):
    """The reference: evaluate-v1.1 of SQuAD, as published."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


@pytest.mark.parametrize(
    ("text", "normal", "why"),
    [
        ("The Ada  Brandt!", "ada brandt", "case, article, punctuation and white space go"),
        ("A", "a", "an article alone stays"),
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
    """But for a letter at the end or in a list, and a text of which nothing would be left."""
    rng, compared = np.random.default_rng(0), 0
    letter = re.compile(r"\ba(\s*$|(\s+[a-z])+\s*$)")
    parts = ["The ", "a ", "an", "Ada", " ", "-", "'s", "B.", "\t", "_", "é", ", ", "theatre", "A.", "1,000", "$"]
    for _ in range(2000):
        text = "".join(parts[i] for i in rng.integers(len(parts), size=8))
        words = "".join(c for c in text.lower() if c not in string.punctuation)
        if squad_normalize(text) and not letter.search(words):
            compared += 1
            assert normalize(text) == squad_normalize(text)
        else:
            assert normalize(text) or not text.strip(), text
    assert compared > 1000


@pytest.mark.parametrize(
    ("prediction", "answers", "em", "f1", "why"),
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
        ("the", ["The"], 1, 1, "an article that is the answer"),
        ("the", ["The Who"], 0, 0, "and one that is not"),
        ("Ada", [], 0, 0, "no answer to match"),
        ("ADA BRANDT", ["Ada Brandt"], 1, 1, "case"),
        ("The Bank of Lund", ["Bank of Lund"], 1, 1, "an article before"),
        ("Bank of the Lund", ["Bank of Lund"], 1, 1, "an article inside"),
        ("A Bank of an Lund", ["Bank of Lund"], 1, 1, "two articles"),
        ("Theatre", ["atre"], 0, 0, "the beginning of a word is no article"),
        ("Ada Brandt.", ["Ada Brandt"], 1, 1, "a full stop"),
        ("Ada, Brandt", ["Ada Brandt"], 1, 1, "a comma"),
        ('"Ada Brandt"', ["Ada Brandt"], 1, 1, "quotes"),
        ("(Ada Brandt)", ["Ada Brandt"], 1, 1, "parentheses"),
        ("Ada-Brandt", ["Ada Brandt"], 0, 0, "a hyphen joins what it stood between"),
        ("Ada-Brandt", ["AdaBrandt"], 1, 1, "as published"),
        ("O'Neill", ["ONeill"], 1, 1, "an apostrophe"),
        ("Ada\u2019s", ["Adas"], 1, 1, "a typographic one"),
        ("Ada Brandt ", ["  Ada   Brandt"], 1, 1, "white space"),
        ("Ada\tBrandt\n", ["Ada Brandt"], 1, 1, "of any kind"),
        ("1,496.5", ["1496.5"], 1, 1, "points and commas go from numbers too"),
        ("1,496.5", ["14965"], 1, 1, "so that these are equal, as published"),
        ("-12", ["12"], 1, 1, "signs go"),
        ("$12", ["12"], 1, 1, "currencies of ASCII go"),
        ("\u20ac12", ["12"], 0, 0, "others stay"),
        ("12%", ["12"], 1, 1, "percent signs go"),
        ("12 percent", ["12"], 0, 2 / 3, "words stay"),
        ("12.0", ["12"], 0, 0, "numbers are not compared as numbers"),
        ("twelve", ["12"], 0, 0, "nor words as numbers"),
        ("May 1901", ["1901"], 0, 2 / 3, "a date in part: precision 1/2, recall 1"),
        ("May 1, 1901", ["1 May 1901"], 0, 1, "a date in another order"),
        ("M\u00fcller", ["M\u00fcller"], 1, 1, "letters beyond ASCII"),
        ("M\u00fcller", ["Muller"], 0, 0, "accents count"),
        ("\u00c9mile Zola", ["\u00e9mile zola"], 1, 1, "case beyond ASCII"),
        ("\u6771\u4eac", ["\u6771\u4eac"], 1, 1, "other scripts"),
        ("Ada\u00a0Brandt", ["Ada Brandt"], 1, 1, "a space that does not break is one"),
        ("Ada\u00adBrandt", ["AdaBrandt"], 1, 1, "what cannot be seen goes"),
        ("Ada Brandt", ["Jon Vale", "Ada Brandt"], 1, 1, "the second alias"),
        ("Ada Vale", ["Jon Vale", "Ada Brandt"], 0, 1 / 2, "half of either alias: the best counts, not the sum"),
        ("Vale", ["Jon Vale", "Ada Maria Brandt Vale"], 0, 2 / 3, "the shorter alias is the better match"),
        ("Ada Maria Brandt", ["Ada Brandt"], 0, 4 / 5, "a word too many: precision 2/3, recall 1"),
        ("Ada Ada Brandt Brandt", ["Ada Ada Brandt"], 0, 6 / 7, "words are counted: 3 of 4 and 3 of 3"),
        ("a b c d", ["b c d e"], 0, 3 / 4, "a letter of a list"),
        ("a b c does", ["b c does e"], 0, 6 / 7, "an article: b c does against b c does e"),
        ("yes", ["Yes."], 1, 1, "yes"),
        ("no", ["yes"], 0, 0, "no"),
        ("unknown", ["Unknown"], 1, 1, "CoQA's unknown"),
        ("He went to the shop", ["to the shop"], 0, 2 / 3, "2 of 4 and 2 of 2, articles aside"),
        ("...", ["..."], 1, 1, "punctuation that is the answer"),
        ("...", ["!"], 0, 0, "and other punctuation"),
    ],
)
def test_scores(prediction, answers, em, f1, why):
    assert exact_match(prediction, answers) == em, why
    assert token_f1(prediction, answers) == pytest.approx(f1), why
