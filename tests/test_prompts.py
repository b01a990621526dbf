"""What models are told: the rules as the game has them, and worked games that are true under those rules."""

import hashlib
import json
import re

import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import Costs
from clarify_env.games.base import Reply
from clarify_env.games.clarification import user_prompts
from clarify_env.games.clarification.actions import TAGS, kind
from clarify_env.games.clarification.prompts import PHRASINGS, STYLES, messages
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.worked_games import EXAMPLES, worked_games
from clarify_env.tasks.base import NONE_OF_THESE, Episode, Interpretation
from clarify_env.tasks.registry import make_task

COSTS = Costs(0.25, 0.03)
ZERO_SHOT = """\
You answer questions that may be ambiguous. Begin every message with one of three tags:
#CLARIFY and one question, to ask the user which reading is meant;
#ANSWER and one short answer, to answer the likeliest reading;
#MULTI_ANS and one line a reading, "label: answer", to answer several readings.
Right answers earn 1. Your costs: each question costs 0.25, each word 0.030. Words are those of your last message. \
Earn as much as you can.
Dunley was in the news."""
ACTIONS = [["multi_answer"], ["clarify", "answer"], ["answer"], ["clarify", "answer"], ["answer"]]


def system(style, role="assistant", episode=DUNLEY, **options):
    return messages(ClarificationGame(Toy(), episode, 0, COSTS, **options).view(role), style)[0]["content"]


def test_the_rules_alone_are_zero_shot():
    assert system("zero_shot") == ZERO_SHOT
    assert system("zero_shot", episode=ASHFORD) == ZERO_SHOT.rpartition("\n")[0]


def test_few_shot_is_the_rules_and_the_worked_games():
    rules, context = ZERO_SHOT.rsplit("\n", 1)
    text = system("few_shot")
    assert text.startswith(rules) and text.endswith(f"{COSTS}.\n{context}"), "its own costs come last"
    assert worked_games() in text
    assert system("few_shot", "user") == system("zero_shot", "user"), "the user is shown no games"


def played(example, costs=None):
    episode = Episode("train/0", example.query, "", (Interpretation("it", "it", (example.right,), 1.0),), {})
    game = ClarificationGame(Toy(), episode, 0, costs or example.costs)
    for text in (*example.messages, example.right):
        game.apply(Reply(text))
    return game


@pytest.mark.parametrize(("example", "kinds"), list(zip(EXAMPLES, ACTIONS, strict=True)))
def test_a_worked_game_is_one_by_the_rules(example, kinds):
    game = played(example)
    assert [kind(turn.action) for turn in game.turns[::2]] == kinds
    assert game.result.score == 1 and not any(game.result.flags.values())
    shown = worked_games().split("\n\n")[EXAMPLES.index(example)]
    assert shown.startswith(f"Costs: {example.costs}.\nuser: {example.query}\nassistant: {example.messages[0]}\n")
    questions, alpha, words, beta, earned = re.search(
        r"Earned 1 - (.+) x (.+) - (.+) x (.+) = (\S+)\. ", shown
    ).groups()
    assert (int(questions), int(words)) == tuple(game.result.usage.values())
    assert (float(alpha), float(beta)) == example.costs
    assert float(earned) == pytest.approx(game.result.reward(example.costs), abs=1e-9), "no rounding"


def test_the_worked_games_show_every_action_and_why():
    assert {kind for kinds in ACTIONS for kind in kinds} == {"clarify", "answer", "multi_answer"}
    cheap, told = (
        [
            example.costs.alpha
            for example, kinds in zip(EXAMPLES, ACTIONS, strict=True)
            if (kinds[0] == "clarify") == asks
        ]
        for asks in (True, False)
    )
    assert max(cheap) < min(told), "questions where they are cheap"
    # One question at two costs: each way of playing it pays where it is shown, and not where the other is.
    listed, asking = EXAMPLES[:2]
    assert listed.query == asking.query and played(listed).result.usage["words"] == 6, "as the reason says"
    for best, other in ((listed, asking), (asking, listed)):
        earned, less = (played(example, best.costs).result.reward(best.costs) for example in (best, other))
        assert earned > less + 0.1


def test_the_worked_games_are_of_no_shipped_task():
    task = make_task("almanac")
    queries = {episode.query for split in task.sizes for episode in task.episodes(split)}
    assert not queries & {example.query for example in EXAMPLES}


RULES = [
    ("none", "zero_shot", "Begin every message with one of three tags", "last message. Earn", "as the game has it"),
    ("free", "zero_shot", "You may reason first, unseen by the user", "message; reasoning is free. Earn", "allowed"),
    ("free", "reasoning", "begin your message, on a new line, with one of", "can. Before you choose", "asked"),
    ("charged", "reasoning", "You may reason first", "last message, and of all your reasoning. Earn", "its price"),
    ("charged", "few_shot", "You may reason first", "and of all your reasoning. Earn", "in each style with rules"),
    ("charged", "pocket", "2 questions cost 0.50, 24 words 0.72.", "", "which this one does not"),
]


@pytest.mark.parametrize(("rule", "style", "begins", "price", "why"), RULES)
def test_the_rule_on_reasoning_is_told(rule, style, begins, price, why):
    text = system(style, reasoning=rule)
    assert begins in text and price in text, why
    assert ("Begin every message" in text) == (rule == "none")
    assert system(style, "user", reasoning=rule) == system(style, "user"), "to the assistant alone"


def test_a_prompt_for_what_the_game_makes_invalid_is_refused():
    with pytest.raises(ValueError, match=r"prompts\.style=reasoning .* set game\.reasoning to free or charged"):
        system("reasoning")
    assert system("reasoning", "user") == system("zero_shot", "user"), "no rule of the user's"
    with pytest.raises(ValueError, match=f"prompts.style must be one of {', '.join(STYLES)}, not 'shouting'"):
        system("shouting")


# (style, costs, what the assistant is told of them)
LAST_LINES = [
    ("natural", (0.31, 0.041), "Each question costs 0.31, each word 0.041."),
    ("relative", (0.31, 0.041), "A question costs as much as 8 words; a right answer is worth 24 words."),
    ("relative", (0.04, 0.041), "A question costs as much as 1 word; a right answer is worth 24 words."),
    ("relative", (0.0, 0.041), "A question costs as much as 0 words; a right answer is worth 24 words."),
    ("relative", (0.2, 0.0), "A question costs 0.20 of what a right answer earns; words cost nothing."),
    ("relative", (0.0, 0.0), "A question costs 0.00 of what a right answer earns; words cost nothing."),
]


@pytest.mark.parametrize(("style", "costs", "line"), LAST_LINES)
def test_the_costs_are_stated_last(style, costs, line):
    chat = messages(ClarificationGame(Toy(), ASHFORD, 0, Costs(*costs)).view("assistant"), style)
    assert chat[-1]["content"].splitlines()[-1].endswith(line)


# The digest of all wordings of the user's prompts, by version: another wording needs another version.
DIGESTS = {2: "daa562451b5b"}


def test_a_new_wording_of_the_users_prompts_is_a_new_version():
    digest = hashlib.sha256(json.dumps(user_prompts.WORDINGS).encode()).hexdigest()[:12]
    assert DIGESTS[user_prompts.VERSION] == digest and max(DIGESTS) == user_prompts.VERSION


@pytest.mark.parametrize("style", STYLES)
def test_the_user_is_told_what_it_means_and_to_tell_only_what_is_asked(style):
    text = system(style, "user", ASHFORD)
    assert "kind film, era modern" in text and "Brandt" not in text and "0.25" not in text
    if style != "pocket":
        assert ASHFORD.query in text and re.search(r"just what|nothing more|not a word more", text)
        assert NONE_OF_THESE.rstrip(".") in text, "how to refuse"


def test_the_users_rules_in_natural_language_are_one_prefix_of_all_games():
    for style in PHRASINGS:
        texts = [system(style, "user", episode) for episode in (ASHFORD, DUNLEY)]
        (shared, query), (other, _) = (text.split("You asked: ") for text in texts)
        assert shared == other and query.startswith(ASHFORD.query) and all(tag in shared for tag in TAGS)
