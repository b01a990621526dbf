"""DROP's F1 with scales, by pairs worked out by hand from the rules of DROP's and TAT-QA's scorers."""

import numpy as np
import pytest

from clarify_env.scores.assignment import largest_sum
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
    ("1.23456", 1.23456),
    ("22.226 percent", 0.22226),
    ("1\u200b00", 100),
    ("5 %", 0.05),
    ("(12) %", -0.12),
    ("(12 )", -12),
    ("( 12 )", -12),
    ("(5.2 )%", -0.052),
    ("($ 12)", -12),
    ("$ (12)", -12),
    ("5\u20ac", 5),
    ("\u20ac 5", 5),
    ("5 \u20ac million", 5_000_000),
    ("- 5", -5),
    ("12.6.", 12.6),
    ("5%,", 0.05),
    ("1 234 567", 1_234_567),
    ("1\u202f234.5", 1234.5),
    ("1 234,5", 1234.5),
    ("1.234,5", 1234.5),
    ("1'234.5", 1234.5),
    ("1,00,000", 100_000),
    ("1e-07", 1e-7),
    ("-1.5E+12", -1.5e12),
    ("1e5", 100_000),
    ("1.5 x 10^3", 1500),
    ("1.5\u00d710\u207b\u00b3", 0.0015),
    ("\uff11\uff12", 12),
    ("0.001 million", 1000),
    ("\u00bd", 0.5),
    ("2\u00bd", 2.5),
    ("-2 \u00bd", -2.5),
    ("2\u00bc%", 0.0225),
    ("$1\u00be million", 1_750_000),
    ("\u2153", 1 / 3),
    ("2+1/2", 2.5),
    ("US$5", 5),
    ("US$ 5 billion", 5_000_000_000),
    ("(A$5)", -5),
    ("\u20b95", 5),
    ("5 \u20a9", 5),
    ("2 trillion", 2_000_000_000_000),
    ("3 millions", 3_000_000),
    ("7 hundreds of cars", 700),
    ("5\u2030", 0.005),
    ("-5 \u2030", -0.005),
    ("1.234.567", 1_234_567),
    ("\u20ac1.234.567", 1_234_567),
    ("1.234.567,8", 1_234_567.8),
    ("1.234", 1.234),
]
NOT_NUMBERS = [
    "",
    "twelve",
    "12 apples",
    "1,04",
    "1.2.3",
    "1,5",
    "5 %%",
    "$5\u20ac",
    "5 5",
    "1e999",
    "1e",
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
    "1/12",
    "2/4",
    "11/2/2019",
    "9" * 400 + "\u00bd",
    "1.234.56",
    "5\u2030%",
    "$5 US$",
    "3 years",
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
    ("Mu\u0308ller", ["M\u00fcller"], 100, "however they are composed"),
    ("5 %", ["5%"], 100, "a percent sign after a space"),
    ("up 5 %", ["up 5%"], 100, "among words too"),
    ("loss of ( 12 )", ["loss of (12)"], 100, "and brackets with spaces"),
    ("a profit of $ 5", ["profit of $5"], 100, "and a currency"),
    ("1e-07", ["0.0000001"], 100, "scientific notation"),
    ("1e-07", ["2e-07"], 0, "small numbers are not all zero"),
    ("0.001%", ["0"], 0, "nor small percentages"),
    ("0.001 million", ["1 thousand"], 100, "nor what is small before its scale"),
    ("-0", ["0"], 100, "zero has no sign"),
    ("2019,", ["2019"], 100, "punctuation after a number"),
    ("the", ["The"], 100, "an article that is the answer"),
    ("-", ["\u2013"], 100, "a dash that is the answer"),
    ("option", ["option A"], 67, "a letter is no article"),
    ("state of the art", ["state-of-the-art"], 100, "articles between hyphens"),
    ("r\u200bed", ["red"], 100, "what cannot be seen is not there"),
    ("U.S.", ["US"], 100, "points in words"),
    ("company's", ["companys"], 100, "apostrophes"),
    ("up 2 \u00bd points", ["up 2.5 points"], 100, "a fraction after a number"),
    ("up 2\u00bd points", ["up 2 \u00bd points"], 100, "with a space or without"),
    ("US$ 5 or so", ["US$5 or so"], 100, "the dollar of a country"),
    ("rate of 5 \u2030", ["rate of 0.5%"], 100, "per mille"),
    ("\u20b95 millions", ["5 million"], 100, "a currency of Asia, a scale in the plural"),
    ("red", [], 0, "no gold answer"),
]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_numbers(text, value):
    assert number(text) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_what_is_no_number(text):
    assert number(text) is None


@pytest.mark.parametrize(("prediction", "gold", "hundredths", "why"), PAIRS, ids=[why for *_, why in PAIRS])
def test_pairs(prediction, gold, hundredths, why):
    assert round(100 * drop_f1(prediction, gold)) == hundredths, why


def test_there_are_fifty_of_them():
    assert len({(prediction, tuple(gold)) for prediction, gold, *_ in PAIRS}) >= 50


def test_spans_are_aligned_at_best():
    optimize, rng = pytest.importorskip("scipy.optimize"), np.random.default_rng(0)
    for _ in range(400):
        scores = rng.integers(0, 4, size=rng.integers(1, 8, size=2)) / rng.integers(1, 7)
        rows, columns = optimize.linear_sum_assignment(-scores)
        assert largest_sum(scores) == pytest.approx(scores[rows, columns].sum(), abs=1e-12), scores
    wide = rng.random((3, 50_000))
    assert largest_sum(wide) == largest_sum(wide.T) > 2.99


def test_joined_up_words_never_score_more_than_they_cost():
    """A word charged once earns no more than one word of the gold answer, however many it strings together."""
    gold = "our allowable incurred costs plus profit"
    best = max(drop_f1(word, [gold]) for word in gold.split())
    for joint in "-", "_", "/", ";", "\u2010", "\u200b", ".":
        prediction = joint.join(gold.split())
        if count_words(prediction) == 1:
            assert drop_f1(prediction, [gold]) <= best, joint
