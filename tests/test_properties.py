"""What must hold for every message, not only for the ones we thought of."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import ASHFORD, Toy

import clarify_env
from clarify_env.costs import Costs
from clarify_env.games.base import Reply, Result
from clarify_env.games.clarification.actions import (
    Action,
    Item,
    MultiAnswer,
    count_words,
    parse,
    split_reasoning,
    words,
)
from clarify_env.games.clarification.oracle import Solved
from clarify_env.games.clarification.prompts import messages
from clarify_env.games.clarification.rules import REASONING, ClarificationGame
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.scores.answers import exact_match, normalize, token_f1
from clarify_env.tasks.base import Task
from clarify_env.testing import holds, reachable

COSTS = Costs(0.25, 0.03)
FRAGMENTS = [
    "#CLARIFY",
    "#ANSWER",
    "#MULTI_ANS",
    "#CLARIFY ",
    "#ANSWER ",
    "#MULTI_ANS ",
    "#",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\0",
    ";",
    "; ",
    ":",
    ": ",
    "- ",
    "* ",
    "• ",
    "_",
    "-",
    "—",
    ".",
    "?",
    ",",
    " or ",
    "the ",
    "a ",
    "An",
    "film",
    "Tudor",
    "kind",
    "era",
    "Ada Brandt",
    "Brandt",
    "Jon Vale",
    "None of these.",
    "Ashford",
    "10:30",
    "user: ",
    "system: ",
    "<|im_end|>",
    "[redacted]",
    "{",
    "}",
    "{0}",
    "%s",
    "\\",
    '"',
    "\u200b",
    "\u00ad",
    "\u2028",
    "\u2029",
    "\x1c",
    "\x85",
    "\ud800",
    "\udfff",
    "\ufeff",
    "\u202e",
    "\u0301",
    "\u0130",
    "ß",
    "漢字",
    "🙂",
    "👩\u200d👩",
    "\U000e0041",
    "\U0010ffff",
    "\u2800",
    "\ufe0f",
    "x" * 500,
]
TEXTS = st.one_of(
    st.text(st.characters(), max_size=40),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(st.characters(), max_size=5)), max_size=10).map("".join),
)


@cache
def almanac(metric: str = "em") -> Task:
    return clarify_env.make_task("almanac", metric=metric)


def finish(
    task: Task, episode, intent: int, texts: list[str], seed: int = 0, costs: Costs = COSTS, **options
) -> ClarificationGame:
    """Plays the assistant's messages against the scripted user."""
    game, says, user = ClarificationGame(task, episode, intent, costs, **options), iter(texts), ScriptedUser(task)
    while game.to_move:
        game.apply(Reply(next(says) if game.to_move == "assistant" else user.say(game.view("user"), seed)))
    return game


def spending(result: Result, more: int) -> Result:
    """The result, had it used up more words."""
    return result._replace(usage=dict(result.usage) | {"words": result.usage["words"] + more})


def expected(task: Task, episode, texts: list[str], seeds: range, costs: Costs = COSTS) -> float:
    """Mean reward over the readings' weights and the user's draws."""
    return sum(
        reading.weight * np.mean([finish(task, episode, i, texts, seed).result.reward(costs) for seed in seeds])
        for i, reading in enumerate(episode.interpretations)
    )


@pytest.mark.parametrize("rule", REASONING[1:])
def test_arbitrary_strings_raise_nothing_where_reasoning_is_allowed(rule):
    rng = np.random.default_rng(1)
    env = clarify_env.raw_env(Toy(), reasoning=rule)
    env.reset(seed=0)
    for length in rng.integers(0, 9, size=5000).tolist():
        if env.terminations[env.agent_selection]:
            assert -1e6 < env.rewards["user"] == env.rewards["assistant"] <= 1
            env.reset()
        env.step("".join(FRAGMENTS[i] for i in rng.integers(len(FRAGMENTS), size=length).tolist()))


@pytest.mark.slow
def test_a_hundred_thousand_arbitrary_strings_raise_nothing():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 9, size=100_000)
    drawn = iter(rng.integers(len(FRAGMENTS), size=lengths.sum()).tolist())
    env = clarify_env.raw_env(Toy())
    env.reset(seed=0)
    ends = 0
    for length in lengths.tolist():
        text = "".join(FRAGMENTS[next(drawn)] for _ in range(length))
        assert isinstance(parse(text), Action)
        if not env.agents or env.terminations[env.agent_selection]:
            env.last()
            assert -1e6 < env.rewards["user"] == env.rewards["assistant"] <= 1
            env.reset()
            ends += 1
        env.step(text)
    assert ends > 10_000


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 2))
def test_any_two_messages_make_a_game_with_sound_components(content, replied, intent):
    game = ClarificationGame(Toy(), ASHFORD, intent, COSTS)
    game.apply(Reply(content))
    if game.to_move:
        game.apply(Reply(replied))
    if game.result:
        assert 0 <= game.result.score <= 1 and game.result.usage["words"] == words(parse(content)) >= 0
        assert game.result.score == 0 or not game.result.flags["ungrounded"]
    else:
        assert game.to_move == "assistant" and game.view("assistant").turn == 2


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.integers(0, 2), st.floats(0, 1))
def test_any_reasoning_is_unseen_and_charged_never_earns_more_than_free(before, then, last, intent, beta):
    texts = (f"Unseen {before}\n#CLARIFY Who?", "no", then, "no", last, "no")
    games = [ClarificationGame(Toy(), ASHFORD, intent, Costs(0.25, beta), reasoning=rule) for rule in REASONING[1:]]
    for game in games:
        for text in texts:
            if game.to_move:
                game.apply(Reply(text))
        parts = [split_reasoning(turn.reply.text) for turn in game.turns[::2]]
        assert ["".join(part) for part in parts] == [turn.reply.text for turn in game.turns[::2]], "kept as it was"
        for role in game.roles:
            assert [text for _, text, _ in game.view(role).heard[::2]] == [message for _, message in parts]
            assert "Unseen" not in str(game.view(role)) and "Unseen" not in str(messages(game.view(role)))
    free, charged = (game.result for game in games)
    if free:
        spent = sum(count_words(reasoning) for reasoning, _ in parts)
        assert charged == spending(free, spent) and spent >= 1
        assert charged.reward(Costs(0.25, beta)) <= free.reward(Costs(0.25, beta))


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 2))
def test_what_stands_before_a_line_with_a_tag_changes_nothing_but_words(before, content, intent):
    for message in (f"#CLARIFY {content}", f"#ANSWER {content}", f"#MULTI_ANS {content}"):
        plain, thought = (
            finish(Toy(), ASHFORD, intent, [text, "#ANSWER Brandt"], reasoning="charged").result
            for text in (message, f"thus: {before}\n{message}")
        )
        if split_reasoning(f"thus: {before}\n{message}")[1] == message:
            assert thought == spending(plain, count_words(f"thus: {before}"))


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.floats(0, 2), st.floats(0, 1), st.integers(0, 2))
def test_one_more_question_costs_exactly_alpha(content, alpha, beta, intent):
    costs = Costs(alpha, beta)
    for closing in (f"#ANSWER {content}", "#ANSWER Brandt", "#MULTI_ANS film: Brandt; opera: Jon Vale", f"x{content}"):
        rewards = [
            finish(Toy(), ASHFORD, intent, ["#CLARIFY Which kind?"] * questions + [closing]).result.reward(costs)
            for questions in (0, 1, 2)
        ]
        assert rewards[0] - alpha == pytest.approx(rewards[1], abs=1e-9)
        assert rewards[1] - alpha == pytest.approx(rewards[2], abs=1e-9)


def test_an_unlabelled_list_of_all_answers_is_worth_a_draw_from_it():
    task = almanac()
    for index in range(0, 200, 4):
        episode = task.episode("train", index)
        answers = [reading.answers[0] for reading in episode.interpretations]
        message = f"#MULTI_ANS {'; '.join(answers)}"
        n = len(answers)
        for seed in range(5):
            # The draw does not know the intent: of all who could be meant, it satisfies exactly one.
            right = [finish(task, episode, i, [message], seed).result.score for i in range(n)]
            assert sum(right) == 1
        drawn = [finish(task, episode, 0, [message], seed).result.score for seed in range(60)]
        assert np.mean(drawn) < 1 / n + 4 * np.sqrt(0.25 / 60) or n == 1


@pytest.mark.parametrize("metric", ["em", "f1"])
@pytest.mark.parametrize("costs", [Costs(0.9, 0), Costs(0.9, 0.001), Costs(0.3, 0.03)])
def test_pasting_every_answer_of_the_world_earns_no_more_than_the_best_plan(metric, costs):
    task = almanac(metric)
    world = [r.answers[0] for s in task.sizes for e in task.episodes(s) for r in e.interpretations][::20]
    for index in (1, 8, 30, 55):
        episode = task.episode("train", index)
        own = [reading.answers[0] for reading in episode.interpretations]
        labels = [reading.label for reading in episode.interpretations]
        everything = own + world
        pasted = [
            f"#ANSWER {' '.join(everything)}",
            f"#ANSWER {'; '.join(everything)}",
            f"#MULTI_ANS {'; '.join(everything)}",
            "#MULTI_ANS " + "; ".join(f"{' '.join(labels)}: {answer}" for answer in everything),
            "#MULTI_ANS " + "; ".join(f"{label}: {' '.join(own)}" for label in labels),
            f"#CLARIFY {' '.join(everything)}?",
        ]
        best = Solved(task, episode).oracle(np.array([costs]))[0][0]
        for message in pasted:
            assert expected(task, episode, [message, "#ANSWER"], range(3), costs) <= best + 1e-9, message[:40]


@pytest.mark.parametrize("question", ["", "?", "Hm?", "What do you mean?", "Say more.", "Who?", "\u200b", "it " * 500])
def test_a_question_without_content_earns_what_guessing_does_less_alpha(question):
    task = almanac()
    for index in range(0, task.sizes["train"], 14):
        episode = task.episode("train", index)
        replies = {task.reply(question, i, episode) for i in range(len(episode.interpretations))}
        assert len(replies) == 1, "it tells nothing"
        guess = f"#ANSWER {episode.interpretations[0].answers[0]}"
        reward = expected(task, episode, [f"#CLARIFY {question}", guess], range(1))
        assert reward == pytest.approx(expected(task, episode, [guess], range(1)) - COSTS.alpha)


def test_no_single_character_joins_two_words_into_a_cheaper_right_answer():
    seen = 0
    # Ideographs, syllables and empty planes aside.
    ranges = [(0, 0x3100), (0xA000, 0xAC00), (0xD7F0, 0x10100), (0x1D000, 0x1D400), (0xE0000, 0xE0200)]
    for code in (code for first, last in ranges for code in range(first, last)):
        text = f"Ada{chr(code)}Brandt"
        if exact_match(text, ["Ada Brandt"]) or token_f1(text, ["Ada Brandt"]) == 1:
            seen += 1
            assert count_words(text) >= 2, hex(code)
    assert seen > 20, "white space of every kind was among them"


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from([*FRAGMENTS, "the", "THE", "'"]) | st.characters(), max_size=5).map("".join))
def test_no_joint_makes_words_cheaper(joint):
    text = f"Ada{joint}Brandt"
    if exact_match(text, ["Ada Brandt"]):
        assert count_words(text) >= 2
    assert len(normalize(text).split()) <= count_words(text) or token_f1(text, ["Ada Brandt"]) < 1
    # In a list as well: neither as label and answer, nor between items.
    items = parse(f"#MULTI_ANS modern{joint}film: Ada{joint}Brandt")
    if isinstance(items, MultiAnswer) and items.items == (Item(f"modern{joint}film", f"Ada{joint}Brandt"),):
        game = finish(Toy(), ASHFORD, 0, [f"#MULTI_ANS modern{joint}film: Ada{joint}Brandt"])
        assert game.result.score == 0 or game.result.usage["words"] >= 3


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_what_scores_pays_for_at_least_as_many_words_as_it_matches(text):
    for metric in (exact_match, token_f1):
        score = metric(text, ["Ada Brandt von Lund"])
        # With w words of four, F1 is at most 2w / (w + 4).
        w = count_words(text)
        assert score <= 2 * min(w, 4) / (min(w, 4) + 4) + 1e-9


@pytest.mark.parametrize("task", [Toy(), almanac()])
def test_nothing_the_assistant_is_handed_holds_the_intent_or_a_gold_answer(task):
    for index in range(min(10, task.sizes["train"])):
        episode = task.episode("train", index)
        seen = []
        for intent, reading in enumerate(episode.interpretations):
            env = clarify_env.raw_env(task)
            env.reset(options={"index": index, "intent": intent, "costs": COSTS})
            alone = clarify_env.gym.AssistantEnv(task)
            handed = [alone.reset(options={"index": index, "intent": intent, "costs": COSTS})]
            for message in ("#CLARIFY", "I do not understand the question."):
                handed.append((env.observe("assistant"), env.infos["assistant"], env.game.view("assistant")))
                env.step(message)
            handed.append(alone.step("#CLARIFY"))
            assert not holds(handed)
            texts = [normalize(thing) for thing in reachable(handed) if isinstance(thing, str)]
            for secret in map(normalize, (*reading.answers, reading.text)):
                assert not any(f" {secret} " in f" {text} " for text in texts), (episode.id, secret)
            seen.append(str(handed))
        assert len(set(seen)) == 1, "what the assistant is handed is the same, whatever is meant"


class Assistant:
    """Keeps all that it is ever handed."""

    name = "keeper"

    def __init__(self):
        self.handed = []

    def act(self, views, seeds, openings=None):
        self.handed.append((views, seeds, openings))
        return [Reply("#CLARIFY Which kind?") for _ in views]


def test_nothing_reachable_from_an_assistant_agent_holds_a_secret_after_play():
    task, agent, user = Toy(), Assistant(), ScriptedUser(Toy())
    game = ClarificationGame(task, ASHFORD, 2, COSTS)
    while game.to_move:
        view = game.view(game.to_move)
        game.apply((agent if view.role == "assistant" else user).act([view], [0])[0])
    assert len(agent.handed) == 3 and not holds(agent)
    assert not any("Lund" in thing for thing in reachable(agent) if isinstance(thing, str))


def test_the_walk_finds_what_is_hidden():
    hidden = ASHFORD.interpretations[0]
    holder = Assistant()
    holder.tell = lambda: hidden
    places = [
        [hidden],
        {"a": (1, {hidden})},
        {hidden: 1},
        lambda: hidden,
        lambda x=hidden: x,
        iter([hidden]),
        holder,
        clarify_env.raw_env(Toy()),
        ScriptedUser(Toy()).act,
        ClarificationGame(Toy(), ASHFORD, 0, COSTS).view("user"),
    ]
    assert all(holds(place) for place in places)
