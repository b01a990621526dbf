"""DROP's F1 with scales, by pairs worked out by hand from the rules of DROP's and TAT-QA's scorers."""

import pytest

from clarify_env.scores.drop import drop_f1, number
from clarify_env.words import count_words

NUMBERS = [
    ("1496.5", 1496.5),
    ("$1,496.5", 1496.5),
    ("$ 1,496.5", 1496.5),
    ("1,496.5 million", 1_496_500_000),
    ("$224 million", 224_000_000),
    ("3 thousand", 3000),
    ("2.5 Billion", 2_500_000_000),
    ("7 hundred", 700),
    ("22.22%", 0.2222),
    ("22.22 percent", 0.2222),
    ("-22.22%", -0.2222),
    ("(12.6)", -12.6),
    ("$(426)", -426),
    ("($426)", -426),
    ("(1,040)", -1040),
    ("-3", -3),
    ("\u22123", -3),
    ("\u20133", -3),
    ("+5", 5),
    (".5", 0.5),
    ("5.", 5),
    ("(248%)", -2.48),
    ("(5.1)%", -0.051),
    ("\u20ac99", 99),
    ("\u00a31,000,000", 1_000_000),
    ("2019", 2019),
    ("0", 0),
    ("3 million years", 3_000_000),
    ("1.23456", 1.2346),
    ("22.226 percent", 0.2223),
    ("1\u200b00", 100),
]
NOT_NUMBERS = [
    "",
    "twelve",
    "12 apples",
    "1,04",
    "1.2.3",
    "1e5",
    "nan",
    "inf",
    "infinity",
    "(12",
    "12)",
    "--3",
    "1_000",
    "million",
    "-$-3",
    "1,496.5million",
    "12-13",
    "%",
    "$",
    "9" * 400,
]

# Prediction, aliases of the gold answer (its spans parted by "; "), F1 in hundredths, and what is shown.
PAIRS = [
    ("1,496.5 million", ["$1,496.5 million"], 100, "a currency and separators do not matter"),
    ("1496.5 million", ["$1,496.5 million"], 100, "nor does leaving them out"),
    ("1496500000", ["$1,496.5 million"], 100, "a scale may be multiplied out"),
    ("1.4965 billion", ["$1,496.5 million"], 0, "a mantissa is rounded to cents before it is scaled"),
    ("1,496.5", ["$1,496.5 million"], 0, "a number without its scale is another number"),
    ("1,496.5 thousand", ["$1,496.5 million"], 0, "and so is one with another scale"),
    ("1,496.4 million", ["$1,496.5 million"], 0, "a near miss is a miss"),
    ("-22.22%", ["-22.22%", "-22.22 percent"], 100, "percent as a sign"),
    ("-22.22 percent", ["-22.22%"], 100, "percent as a word"),
    ("-0.2222", ["-22.22 percent"], 100, "percent as a fraction"),
    ("-22.22", ["-22.22 percent"], 0, "but not as a bare number"),
    ("22.22%", ["-22.22%"], 0, "signs count"),
    ("(22.22)%", ["-22.22%"], 100, "parentheses are a sign"),
    ("(12.6)", ["-12.6"], 100, "without a percentage too"),
    ("12.6", ["(12.6)"], 0, "and they count in the gold answer"),
    ("-1040", ["(1,040)"], 100, "with separators inside (TAT-QA's scorer overlooks the sign)"),
    ("\u221212.6 million", ["-12.6 million"], 100, "a minus sign is a hyphen"),
    ("2019", ["2019"], 100, "a year is a number"),
    ("2018", ["2019"], 0, "and matches itself alone"),
    ("4", ["4"], 100, "a count"),
    ("four", ["4"], 0, "number words are words"),
    ("4.0", ["4"], 100, "places do not matter"),
    ("4.00004", ["4"], 100, "beyond the fourth"),
    ("4.001", ["4"], 0, "before it they do"),
    ("fixed-price type", ["fixed-price type"], 100, "words"),
    ("Fixed-Price Type", ["fixed-price type"], 100, "case does not matter"),
    ("the fixed-price type.", ["fixed-price type"], 100, "nor do articles and punctuation"),
    ("fixed price type", ["fixed-price type"], 100, "a hyphen in the gold answer parts words"),
    ("fixed-price-type", ["fixed price type"], 0, "one in the prediction alone does not: it would save words"),
    ("price", ["fixed-price type"], 50, "1 of 1 and 1 of 3 tokens"),
    ("fixed price", ["fixed-price type"], 80, "2 of 2 and 2 of 3"),
    ("fixed price type contracts here", ["fixed-price type"], 75, "3 of 5 and 3 of 3"),
    ("type type type", ["fixed-price type"], 50, "tokens are sets: a repeated word counts once"),
    ("cost", ["fixed-price type"], 0, "nothing in common"),
    ("", ["fixed-price type"], 0, "nothing said"),
    ("the", ["fixed-price type"], 0, "nothing but an article"),
    ("Q4 2019", ["Q4 2019"], 100, "words and a number"),
    ("Q4 2018", ["Q4 2019"], 50, "TAT-QA does not ask numbers among words to match (DROP does)"),
    ("b; a", ["x; y"], 0, "spans of nothing in common"),
    ("red; green", ["red; green"], 100, "two spans"),
    ("green; red", ["red; green"], 100, "in any order"),
    ("red", ["red; green"], 50, "one span too few"),
    ("red; green; blue", ["red; green"], 67, "one too many"),
    ("red;green", ["red; green"], 0, "parted by a semicolon and a space alone: joined up they are one word"),
    ("red\ngreen", ["red; green"], 33, "a line end is no part: {red, green} fits one span by 2/3"),
    ("red green", ["red; green"], 33, "two words are no two spans"),
    ("bright red; green", ["red; bright green"], 67, "aligned at best: bright red to red, green to bright green"),
    ("x b; c", ["b c; b"], 67, "alignment is one to one"),
    ("795 million; 772 million", ["795 million; 772 million"], 100, "two numbers"),
    ("772 million; 795 million", ["$795 million; $772 million"], 100, "in any order"),
    ("795 million; 771 million", ["795 million; 772 million"], 50, "one of two"),
    ("795; 772", ["795 million; 772 million"], 0, "without their scales"),
    ("red; red", ["red; green"], 50, "a span said twice aligns once"),
    ("red;", ["red"], 100, "a last separator is nothing"),
    ("red", ["scarlet", "red"], 100, "the best alias counts"),
    ("scarlet red", ["scarlet", "red"], 67, "the best of them"),
    ("M\u00fcller", ["M\u00fcller"], 100, "letters beyond ASCII"),
    ("Mu\u0308ller", ["M\u00fcller"], 0, "which are compared as they are, as in both scorers"),
    ("r\u200bed", ["red"], 100, "what cannot be seen is not there"),
    ("U.S.", ["US"], 100, "points in words"),
    ("company's", ["companys"], 100, "apostrophes"),
    ("red", [], 0, "no gold answer"),
]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_numbers(text, value):
    assert number(text) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_what_is_no_number(text):
    assert number(text) is None


@pytest.mark.parametrize(("said", "gold", "hundredths", "why"), PAIRS, ids=[why for *_, why in PAIRS])
def test_pairs(said, gold, hundredths, why):
    assert round(100 * drop_f1(said, gold)) == hundredths, why


def test_there_are_fifty_of_them():
    assert len({(said, tuple(gold)) for said, gold, *_ in PAIRS}) >= 50


def test_joined_up_words_never_score_more_than_they_cost():
    """A word charged once earns no more than one word of the gold answer, however many it strings together."""
    gold = "our allowable incurred costs plus profit"
    best = max(drop_f1(word, [gold]) for word in gold.split())
    for joint in "-", "_", "/", ";", "\u2010", "\u200b", ".":
        said = joint.join(gold.split())
        if count_words(said) == 1:
            assert drop_f1(said, [gold]) <= best, joint
