"""Normal forms of answers, and the metric of an episode whose answers they would make equal."""

import random
import time
import unicodedata

import pytest
from toys import ASHFORD, Toy

from clarify_env.costs import Costs
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.decisions import decision
from clarify_env.games.clarification.oracle import solve
from clarify_env.scores.answers import (
    canonical,
    exact_match,
    normalize,
    normalize_with_symbols,
    token_f1,
    without_removed,
)
from clarify_env.scores.drop import drop_f1, number
from clarify_env.scores.metrics import SCORES, episode_metric
from clarify_env.words import count_words

FORMS = [
    ("The  Beatles!", "beatles", "case, punctuation, articles and white space"),
    ("a cat", "cat", "an article"),
    ("A", "a", "nothing but an article"),
    ("The The", "the the", "nothing but articles"),
    ("+", "+", "nothing but punctuation"),
    (' "..." ', '"..."', "several signs"),
    ("(The)", "the", "both"),
    ("option A", "option a", "a letter at the end"),
    ("Option A.", "option a", "before a point"),
    ("A, C", "a c", "a list of letters"),
    ("both A and B", "both a and b", "joined letters"),
    ("A or a dog", "a or dog", "a letter and an article"),
    ("a T cell", "t cell", "an article before a letter"),
    ("A. J. Foyt", "j foyt", "an initial, as in SQuAD"),
    ("Cafe\u0301", "caf\u00e9", "decomposed letters"),
    ("\u201cDon\u2019t\u201d", "dont", "curly quotes"),
    ("1914\u20131918", "19141918", "a dash"),
    ("1914\ufe581918", "19141918", "a dash that NFKC turns into another"),
    ("don\u00b4t", "dont", "an accent for an apostrophe, which NFKC would turn into a space"),
    ("\u22125", "5", "a minus sign"),
    ("\uff11\uff12\uff0e\uff15", "125", "full-width digits"),
    ("\ufb01lm \u2163", "film iv", "ligatures and Roman numerals"),
    ("x\u00b2", "x2", "a superscript"),
    ("\u200b\u200d", "", "nothing visible"),
]


@pytest.mark.parametrize(("text", "form", "why"), FORMS, ids=[why for *_, why in FORMS])
def test_normal_forms(text, form, why):
    assert normalize(text) == form
    assert normalize(text + " " * 300) == form, "long texts, which are not cached, have the same"


# Answers that mean the same, and answers that do not.
SAME = [
    ("5", "5.", "a point at the end"),
    ("1,000", "1000", "thousands"),
    ("U.S.", "US", "points between letters"),
    ("St. Louis", "St Louis", "after an abbreviation"),
    ("re-sign", "resign", "a hyphen between letters"),
    ("F-16", "F16", "and before digits"),
    ("it's", "it\u2019s", "apostrophes"),
    ("the -5", "-5", "articles"),
    ("( 12 )", "-12", "a number in parentheses"),
    ("\u22125", "-5", "a minus sign"),
    ("\uff03\uff11", "#1", "full-width signs"),
    ('"C++"', "C++", "quotes"),
]
APART = [
    ("-5", "5", "a sign"),
    ("1.5", "15", "a decimal point"),
    ("1,5", "15", "a decimal comma"),
    (".5", "5", "without a digit before it"),
    ("$5", "5%", "symbols"),
    ("5%", "5", "a symbol"),
    ("C", "C++", "symbols of a name"),
    ("C++", "C#", "other symbols"),
    ("O-", "O+", "signs after a letter"),
    ("A+", "A", "after a letter that is an article elsewhere"),
    (".NET", "NET", "a point before a name"),
    ("AC/DC", "ACDC", "a slash"),
    ("10:30", "1030", "a colon"),
    ("12-13", "1213", "a range"),
    ("5!", "5", "a factorial"),
    ("x\u00b2", "x2", "a superscript"),
    ("1\u00bd", "11/2", "a fraction"),
]


@pytest.mark.parametrize(("one", "other", "why"), SAME, ids=[why for *_, why in SAME])
def test_what_means_the_same_stays_equal_with_symbols(one, other, why):
    assert normalize_with_symbols(one) == normalize_with_symbols(other) != "", why


@pytest.mark.parametrize(("one", "other", "why"), APART, ids=[why for *_, why in APART])
def test_distinct_answers_stay_distinct(one, other, why):
    assert normalize_with_symbols(one) != normalize_with_symbols(other), why
    for metric in ("em", "f1"):
        readings = ((one,), (other,))
        chosen = episode_metric(metric, readings)
        scores = [[SCORES[chosen](text, golds) == 1 for golds in readings] for text in (one, other)]
        assert scores == [[True, False], [False, True]], "each answer is right for its reading alone"
        assert chosen == (f"{metric}_symbols" if normalize(one) == normalize(other) else metric)


@pytest.mark.parametrize(
    ("readings", "metric", "chosen", "why"),
    [
        ((("Ada",), ("Jon",)), "em", "em", "different words"),
        ((("the Ada", "Brandt"), ("Ada.",)), "em", "em", "one answer of two readings"),
        ((("5", "five"), ("six", "-5")), "em", "em_symbols", "among aliases"),
        ((("-5 men",), ("men 5",)), "f1", "f1_symbols", "in any order"),
        ((("-5 men",), ("men 5",)), "em", "em", "which exact match keeps apart"),
        ((("-5",), ("5",)), "drop", "drop", "numbers are apart"),
        ((("$5",), ("5.0",)), "drop", "drop_symbols", "but for their currencies"),
        ((("C",), ("C++",)), "drop", "drop_symbols", "words are not"),
        ((("-5", "5"),), "em", "em", "aliases of one reading"),
        ((("-5",), ("5",)), "bleu", "bleu", "an unknown metric"),
    ],
)
def test_the_metric_of_an_episode(readings, metric, chosen, why):
    assert episode_metric(metric, readings) == chosen, why


class Signs(Toy):
    """A task whose readings differ in a sign."""

    def _episode(self, split, index):
        first, second = ASHFORD.interpretations[:2]
        readings = (first._replace(answers=("-5",), weight=0.5), second._replace(answers=("5",), weight=0.5))
        return super()._episode(split, index)._replace(interpretations=readings)


@pytest.mark.parametrize("metric", ["em", "f1", "drop"])
def test_readings_that_differ_in_a_sign_are_played_apart(metric):
    task = Signs()
    task.metric = metric
    episode = task.episode("train", 0)
    assert [task.score("-5", i, episode) for i in range(2)] == [1, 0]
    assert metric == "drop" or [task.f1("5", i, episode) for i in range(2)] == [0, 1]
    (solved,) = solve(task, [episode])
    guesses = [plan.accuracy.tolist() for plan in solved.plans if plan.action == "answer" and plan.words]
    assert guesses and max(map(min, guesses)) < 1, "no guess is right for both"
    assert any(plan.accuracy.tolist() == [1, 1] for plan in solved.plans if plan.action == "multi_answer")
    if metric != "drop":
        assert decision(task, episode, "#ANSWER -5") != decision(task, episode, "#ANSWER 5")
        game = find_game("clarification").deal(task, episode, 0, Costs(0.1, 0.01))
        game.apply(Reply("#ANSWER 5"))
        game.apply(Reply("-5"))
        assert game.result.flags["ungrounded"] and game.result.score == 0, "the user cannot mend the sign"


def test_answers_of_articles_and_letters_score_by_themselves():
    for gold in ("A", "+", "The The", "option A", "-"):
        for name, score in SCORES.items():
            assert score(gold, [gold]) == 1, (name, gold)
    assert exact_match("option", ["option A"]) == exact_match("C", ["A, C"]) == 0
    assert token_f1("option", ["option A"]) < 1 and drop_f1("option", ["option A"]) < 1
    assert exact_match("!", ["?"]) == exact_match("", [""]) == 0


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("The Beatles", "Beatles"),
        ("rock - roll", "rock roll"),
        ("the option A", "option A"),
        ("A and the B", "A and B"),
        ("The The", "The The"),
        ("+", "+"),
        ("the " * 40 + "end", "end"),
    ],
)
def test_words_that_say_nothing_are_left_out(words, left):
    assert " ".join(without_removed(words.split())) == left


def test_no_spelling_saves_words():
    """NFKC turns some characters into several words; they stay one, as they are charged for one."""
    texts = [chr(c) for c in (*range(0x80, 0x500), *range(0x2000, 0x2200), *range(0xFB50, 0xFE00), 0xFF5E)]
    for text in texts:
        assert count_words(canonical(f"x{text}y")) <= max(count_words(f"x{text}y"), 1), ascii(text)
        assert len(normalize(f"x{text}y").split()) <= max(count_words(f"x{text}y"), 1), ascii(text)


def test_composed_and_decomposed_texts_match():
    letters = [chr(c) for c in range(0xC0, 0x250)] + ["\ud55c\uae00", "\u1e69", "\u212b"]
    for letter in letters:
        forms = {normalize(unicodedata.normalize(form, f"x{letter} y")) for form in ("NFC", "NFD", "NFKC", "NFKD")}
        assert len(forms) == 1, ascii(letter)


def test_what_our_code_writes_it_reads_back():
    rng = random.Random(0)
    for exponent in range(-300, 300):
        value = rng.choice((-1, 1)) * rng.uniform(1, 10) * 10.0**exponent
        for text in (repr(value), f"{value:.10g}", f"{value:e}", f"{value:.17g}", f"{round(value, 2):,}"):
            assert number(text) == float(text.replace(",", "")), text
            assert drop_f1(text, [text]) == 1


@pytest.mark.parametrize(
    "part", ["a ", "a and ", "( ", "1 111", "1,111", "-", "\u00b4 ", "$ 1,1", "(1", "; ", "5 % ", " "]
)
def test_long_noise_takes_linear_time(part):
    for metric, score in SCORES.items():
        begun = time.process_time()
        assert 0 <= score(part * 8_000, ["a"]) <= 1
        assert time.process_time() - begun < 2, metric
