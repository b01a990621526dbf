import pytest

from clarify_env.games.clarification.actions import (
    Answer,
    Clarify,
    Invalid,
    Item,
    MultiAnswer,
    count_words,
    kind,
    parse,
    split_reasoning,
    tag_length,
    words,
)

PARSED = [
    ("#CLARIFY Which one?", Clarify("Which one?"), "a question"),
    ("#CLARIFY", Clarify(""), "a question without words is still one: it will not be understood"),
    ("  \n#ANSWER  Ada Brandt \n", Answer("Ada Brandt"), "white space around tag and text does not matter"),
    ("#ANSWER", Answer(""), "declining to answer"),
    ("#ANSWER Ada; Jon\nVale", Answer("Ada; Jon\nVale"), "an answer that names several things is still one"),
    ("#ANSWER film: Ada", Answer("film: Ada"), "an answer has no label"),
    ("#ANSWER #CLARIFY what?", Answer("#CLARIFY what?"), "only the first tag counts"),
    ("#MULTI_ANS film: Ada; opera: Jon", MultiAnswer((Item("film", "Ada"), Item("opera", "Jon"))), "one line, by ;"),
    ("#MULTI_ANS film: A; B\nopera: C", MultiAnswer((Item("film", "A; B"), Item("opera", "C"))), "lines before ;"),
    ("#MULTI_ANS\nfilm: Ada", MultiAnswer((Item("film", "Ada"),)), "a list of one"),
    ("#MULTI_ANS Ada; Jon", MultiAnswer((Item("", "Ada"), Item("", "Jon"))), "labels may be missing"),
    ("#MULTI_ANS opens 10:30", MultiAnswer((Item("", "opens 10:30"),)), "a time keeps its head"),
    ("#MULTI_ANS film: at 10:30", MultiAnswer((Item("film", "at 10:30"),)), "a time after a label as well"),
    ("#MULTI_ANS film: a: b", MultiAnswer((Item("film", "a: b"),)), "the first colon and space ends the label"),
    ("#MULTI_ANS - film: Ada\n* opera: Jon", MultiAnswer((Item("film", "Ada"), Item("opera", "Jon"))), "bullets"),
    ("#MULTI_ANS -5 degrees - cold", MultiAnswer((Item("", "-5 degrees - cold"),)), "a dash inside is no bullet"),
    ("#MULTI_ANS user: Ada", MultiAnswer((Item("user", "Ada"),)), "a role's name is a label like any other"),
    ("#MULTI_ANS a\u2028b\x85c", MultiAnswer((Item("", "a"), Item("", "b"), Item("", "c"))), "Unicode's line breaks"),
    ("#MULTI_ANS ; ;\n", Invalid("; ;", "empty list"), "separators are no items"),
    ("#MULTI_ANS", Invalid("", "empty list"), "a list of nothing"),
    ("Ada Brandt", Invalid("Ada Brandt", "no tag"), "no tag"),
    ("I say #ANSWER Ada", Invalid("I say #ANSWER Ada", "no tag"), "the tag comes first"),
    ("#answer Ada", Invalid("#answer Ada", "no tag"), "tags are upper case"),
    ("#ANSWERS Ada", Invalid("#ANSWERS Ada", "no tag"), "a tag is a whole word"),
    ("#AN#ANSWERSWER Ada", Invalid("#AN#ANSWERSWER Ada", "no tag"), "nothing is scrubbed, so nothing can be nested"),
    ("#\u200bANSWER Ada", Invalid("#\u200bANSWER Ada", "no tag"), "a tag is spelled as it is"),
    ("", Invalid("", "no tag"), "nothing"),
    (None, Invalid("", "no text"), "no text at all"),
    (b"#ANSWER Ada", Invalid("", "no text"), "bytes are no text"),
    (7, Invalid("", "no text"), "nor is a number"),
]
WORDS = [
    ("", 0, "nothing"),
    (" \t\n", 0, "white space alone"),
    ("Ada Brandt", 2, "two"),
    ("Ada_Brandt", 2, "joined by _"),
    ("__Ada__", 1, "_ alone is no word"),
    ("Ada-Brandt", 1, "a hyphen joins, here as in scoring, where it does not match two words"),
    ("Ada\u00a0Brandt", 2, "a hard space is white space"),
    ("Ada\u200bBrandt", 1, "a space of no width is none: joined here, and joined when scored"),
    ("\u200b\u2060\ufeff\u00ad\u2800\u3164", 0, "what cannot be seen is no word"),
    ("\u200b Ada", 1, "nor does it count beside one"),
    ("Ada\u2028Brandt\x1cMay", 3, "every white space splits"),
    ("\ud800", 0, "half a pair is no character"),
    ("漢字 кот", 2, "other scripts"),
]
SPLIT = [
    ("#ANSWER Ada", "", "#ANSWER Ada", "nothing before the tag"),
    (" \n\t#ANSWER Ada", "", " \n\t#ANSWER Ada", "nothing but white space, which parse takes as it is"),
    ("Two readings.\n#ANSWER Ada", "Two readings.\n", "#ANSWER Ada", "a line of reasoning"),
    ("Hm.\r\n\r\n \t#CLARIFY Who?", "Hm.\r\n\r\n", " \t#CLARIFY Who?", "a line may begin with white space"),
    ("Hm.\u2028#MULTI_ANS a; b\nc", "Hm.\u2028", "#MULTI_ANS a; b\nc", "Unicode's line breaks"),
    ("Hm.\x1f#ANSWER Ada", "", "Hm.\x1f#ANSWER Ada", "white space that breaks no line"),
    ("I #ANSWER or\n- #CLARIFY.\n#ANSWER Ada", "I #ANSWER or\n- #CLARIFY.\n", "#ANSWER Ada", "inside a line: talk"),
    ("Hm.\n#CLARIFY Who?\n#ANSWER Ada", "Hm.\n", "#CLARIFY Who?\n#ANSWER Ada", "the first such line"),
    ("#ANSWER Ada\n#CLARIFY Who?", "", "#ANSWER Ada\n#CLARIFY Who?", "and no later one"),
    ("Hm.\n#ANSWERS\n\u200b#ANSWER", "", "Hm.\n#ANSWERS\n\u200b#ANSWER", "a tag is spelled as it is"),
    ("Hm. #ANSWER Ada", "", "Hm. #ANSWER Ada", "no line begins with a tag"),
    ("<think>Hm.\n#ANSWER Jon\n?</think>#ANSWER Ada", "<think>Hm.\n#ANSWER Jon\n?</think>", "#ANSWER Ada", "drafts"),
    ("#ANSWER Jon?</think>\n\n#ANSWER Ada", "#ANSWER Jon?</think>", "\n\n#ANSWER Ada", "a draft comes first"),
    ("[THINK]Hm.[/THINK]So:\n#CLARIFY Who?", "[THINK]Hm.[/THINK]So:\n", "#CLARIFY Who?", "talk after the reasoning"),
    ("<|channel|>final<|message|>#ANSWER Ada", "<|channel|>final<|message|>", "#ANSWER Ada", "a channel"),
    ("Hm.\n#ANSWER Jon</think>Ada", "", "Hm.\n#ANSWER Jon</think>Ada", "a draft alone is no message"),
    ("#ANSWER the tag </think>", "", "#ANSWER the tag </think>", "a message about the tag"),
    ("", "", "", "nothing"),
    (None, "", None, "no text at all"),
    (7, "", 7, "nor is a number"),
]


@pytest.mark.parametrize(("text", "action", "why"), PARSED)
def test_parse(text, action, why):
    assert parse(text) == action, why


@pytest.mark.parametrize(("text", "reasoning", "message", "why"), SPLIT)
def test_split_reasoning(text, reasoning, message, why):
    assert split_reasoning(text) == (reasoning, message), why


@pytest.mark.parametrize(("text", "action", "why"), PARSED)
def test_a_message_without_reasoning_is_left_whole(text, action, why):
    assert isinstance(action, Invalid) or split_reasoning(text) == ("", text), why


@pytest.mark.parametrize(("text", "count", "why"), WORDS)
def test_count_words(text, count, why):
    assert count_words(text) == count, why


@pytest.mark.parametrize(
    ("text", "count", "why"),
    [
        ("#MULTI_ANS film: Ada Brandt; opera: Jon", 5, "labels and answers; neither tag nor punctuation"),
        ("#MULTI_ANS film:Ada", 1, "without a space it is no label but one odd word"),
        ("#ANSWER Ada Brandt", 2, "the tag is free"),
        ("#CLARIFY Which film do you mean?", 0, "a question costs alpha, not words"),
        ("no tag here", 3, "an invalid message pays its words"),
    ],
)
def test_words(text, count, why):
    assert words(parse(text)) == count, why


def test_kinds():
    texts = ["#CLARIFY a", "#ANSWER a", "#MULTI_ANS a", "a"]
    assert [kind(parse(text)) for text in texts] == ["clarify", "answer", "multi_answer", "invalid"]


@pytest.mark.parametrize(
    "noise", [" " * 10**6, "\n" * 10**6, f"#MULTI_ANS {';' * 10**6}", f"#MULTI_ANS {'a: ' * 300_000}"]
)
def test_a_megabyte_is_read_in_time(noise):
    assert words(parse(noise)) <= 300_000


@pytest.mark.timeout(20)
@pytest.mark.parametrize("noise", ["\n" * 10**6, " \n" * 500_000, " " * 10**6, "\n #ANSWER." * 10**5, "#" * 10**6])
def test_a_megabyte_of_reasoning_is_read_in_time(noise):
    assert split_reasoning(f"Hm.{noise}\n#ANSWER Ada") == (f"Hm.{noise}\n", "#ANSWER Ada")
    assert split_reasoning(f"Hm.{noise}") == ("", f"Hm.{noise}")


@pytest.mark.parametrize(
    ("text", "tag"), [("#ANSWER Ada", "#ANSWER"), (" \n#CLARIFY", " \n#CLARIFY"), ("Ada", ""), ("#ANSWERS Ada", "")]
)
def test_the_length_of_the_tag(text, tag):
    assert text[: tag_length(text)] == tag
