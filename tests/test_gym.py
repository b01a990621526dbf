import copy
import multiprocessing
import pickle
import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory
from gymnasium.wrappers import RecordEpisodeStatistics as OneRecordEpisodeStatistics
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from toys import Toy

import clarify_env
from clarify_env.games.agents import PlayerError
from clarify_env.games.base import Reply
from clarify_env.games.clarification.description import Clarification
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.gym import AssistantEnv, RoleEnv
from clarify_env.registration import ENVIRONMENTS
from clarify_env.spaces import Text

ASKED = {"intent": 0, "costs": (0.25, 0.03)}


class Recorder:
    """A user who says one thing and keeps what it was asked."""

    name = "recorder"

    def __init__(self):
        self.asked = []

    def act(self, views, seeds, openings=None):
        self.asked += zip(views, seeds, strict=True)
        return [Reply("Brandt") for _ in views]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("task", [Toy(), "almanac"])
def test_compliance(task):
    check_env(gymnasium.make("clarify_env/Assistant-v0", task=task).unwrapped, skip_render_check=True)


@pytest.mark.parametrize(("rule", "words"), [("free", 2), ("charged", 4)])
def test_reasoning_is_a_game_option(rule, words):
    env = gymnasium.make("clarify_env/Assistant-v0", task=Toy(), reasoning=rule)
    env.reset(seed=0, options=ASKED)
    observation, reward, terminated, _, info = env.step("Two readings.\n#ANSWER Ada Brandt")
    assert terminated and info["outcome"]["words"] == words and reward == pytest.approx(1 - 0.03 * words)
    assert "readings" not in observation["transcript"]


@pytest.mark.parametrize("name", ["clarify_env/Assistant-v0", "clarify_env:clarify_env/Assistant-v0"])
def test_a_game_through_make(name):
    env = gymnasium.make(name, task=Toy())
    observation, info = env.reset(seed=0, options=ASKED)
    assert observation["turn"] == 0 and observation["costs"].tolist() == [0.25, 0.03] and "outcome" not in info
    observation, reward, terminated, truncated, info = env.step("#CLARIFY Which kind?")
    assert (reward, terminated, truncated) == (0, False, False)
    assert observation["transcript"].endswith("user: The film one.")
    assert [m["role"] for m in info["messages"]] == ["system", "user", "assistant", "user"]
    observation, reward, terminated, truncated, info = env.step("#ANSWER Brandt")
    assert (reward, terminated, truncated) == (pytest.approx(0.72), True, False)
    assert info["outcome"]["questions"] == 1 and observation in env.observation_space


def test_it_is_the_same_game_as_behind_pettingzoo():
    task = clarify_env.make_task("almanac")
    alone, both, user = AssistantEnv(task), clarify_env.raw_env(task), ScriptedUser(task)
    for index in range(20):
        options = {"index": index, "intent": 0, "costs": (0.25, 0.03)}
        seen = [alone.reset(seed=index, options=options)]
        both.reset(seed=index, options=options)
        for said in ("#CLARIFY Which kind is it?", "#CLARIFY When?", "#ANSWER that"):
            assert (str(both.observe("assistant")), both.infos["assistant"]) == (str(seen[-1][0]), seen[-1][-1])
            both.step(said)
            both.step(user.say(both.game.view("user"), 0))
            seen.append(alone.step(said))
        assert both.rewards["assistant"] == seen[-1][1] == both.rewards["user"]


def test_seeds_decide_everything_the_users_draws_included():
    def run(seed):
        env = AssistantEnv("almanac")
        said = []
        for turn in range(30):
            observation, _ = env.reset(seed=seed if turn == 0 else None)
            said.append((observation["transcript"], env.step("#MULTI_ANS Ada; Jon; Uwe")[0]["transcript"]))
        return said

    assert run(1) == run(1) != run(2)
    assert len({closing.rpartition(" ")[2] for _, closing in run(1)}) == 3


def test_any_agent_can_be_the_user():
    user = Recorder()
    env = AssistantEnv(Toy(), user=user)
    env.reset(seed=0, options=ASKED)
    assert env.step("#ANSWER brandt")[1] == pytest.approx(0.97)
    ((view, seed),) = user.asked
    assert view.role == "user" and view.facts.secret.intent == 0 and not hasattr(view.facts, "costs")
    assert isinstance(seed, int)


class Failing(Recorder):
    """A player that cannot reply the first time."""

    def act(self, views, seeds, openings=None):
        replies = super().act(views, seeds)
        if len(self.asked) == 1:
            raise PlayerError("user.base_url: the server replies 503")
        return replies


@pytest.mark.parametrize("message", ["#CLARIFY Which kind?", "#ANSWER brandt"])
def test_nobody_speaks_for_a_player_that_could_not_reply(message):
    env = AssistantEnv(Toy(), user=Failing())
    env.reset(seed=0, options=ASKED)
    with pytest.raises(PlayerError, match="503"):
        env.step(message)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^the user has not replied: call reset$"):
            env.step("Brandt")
    assert [turn.role for turn in env.game.turns] == ["assistant"]
    env.reset(seed=0, options=ASKED)
    assert env.step("#ANSWER brandt")[1] == pytest.approx(0.97)


@pytest.mark.parametrize("before", [0, 1], ids=["first", "later"])
def test_a_reset_that_fails_leaves_no_game(before):
    asking = Failing()
    env = RoleEnv(Toy(), "user", agents={"assistant": asking})
    if before:
        env.agents["assistant"] = ScriptedAssistant(Toy(), "guess")
        env.reset(seed=0)
        env.agents["assistant"] = asking
    with pytest.raises(PlayerError, match="503"):
        env.reset(seed=0)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset first"):
        env.step("Brandt")


def test_after_the_end_no_move_is_taken():
    env = AssistantEnv(Toy())
    env.reset()
    assert env.step(None)[2]
    with pytest.raises(ValueError, match="the game is over"):
        env.step("#ANSWER Ada")


@pytest.mark.parametrize("use", [lambda env: env.step("#ANSWER Ada"), lambda env: env.render()], ids=["step", "render"])
def test_before_the_first_reset_nothing_can_be_done(use):
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset first"):
        use(AssistantEnv(Toy()))


WRONG = [
    ({"user": "scripted"}, r"the user must be a player with act\(views, seeds, openings\), not 'scripted'"),
    ({"user": lambda messages: "x"}, r"the user must be a player with act"),
    ({"render_mode": "rgb_array"}, "render_mode must be null or one of ansi, human, not 'rgb_array'"),
    ({"task_options": [1]}, r"task_options must be a dictionary, not \[1\]"),
    ({"game": 5}, "game must be a game or the name of one, not 5"),
    ({"costs": (True, 0)}, "costs.alpha must be a finite number of at least 0, not True"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_wrong_arguments_are_refused_when_it_is_made(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        AssistantEnv(Toy(), **arguments)


@pytest.mark.parametrize("seed", [np.int64(7), np.uint8(7)])
def test_seeds_may_be_of_numpy(seed):
    assert AssistantEnv("almanac").reset(seed=seed)[1] == AssistantEnv("almanac").reset(seed=7)[1]
    envs = [clarify_env.env("almanac") for _ in range(2)]
    for env, given in zip(envs, (seed, 7), strict=True):
        env.reset(seed=given)
    assert envs[0].last()[4] == envs[1].last()[4]


def test_rendering_shows_what_the_assistant_sees(capsys):
    env = AssistantEnv(Toy(), (0.25, 0.03), render_mode="ansi")
    env.reset(options={"intent": 0})
    assert env.render() == "system: each question costs 0.25, each word 0.030\nuser: Who designed Ashford?"
    env.step("#ANSWER Brandt")
    assert env.render().splitlines()[-1].startswith("reward 0.970: accuracy 1")
    assert capsys.readouterr().out == ""
    env = AssistantEnv(Toy(), render_mode="human")
    env.reset()
    assert env.render() is None and "user: Who designed Ashford?" in capsys.readouterr().out


def test_many_at_once():
    env = gymnasium.make_vec("clarify_env/Assistant-v0", num_envs=3, vectorization_mode="sync", task=Toy())
    observation, _ = env.reset(seed=0)
    assert observation["costs"].shape == (3, 2) and len(observation["transcript"]) == 3
    assert np.array(env.step(["no tag"] * 3)[2]).all()


@pytest.mark.parametrize("vector_kwargs", [{}, {"context": "spawn"}, {"shared_memory": False}, {"copy": False}])
def test_many_at_once_in_processes(vector_kwargs):
    env, sync = (
        gymnasium.make_vec("clarify_env/Assistant-v0", num_envs=2, vectorization_mode=mode, task=Toy(), **kwargs)
        for mode, kwargs in (("async", {"vector_kwargs": vector_kwargs}), ("sync", {}))
    )
    try:
        seen, twin = env.reset(seed=0)[0], sync.reset(seed=0)[0]
        assert seen["transcript"] == twin["transcript"] and list(seen["costs"][0]) == list(twin["costs"][0])
        for text in ("#CLARIFY Which kind? é漢🙂", "#CLARIFY \ud83d half a pair", "#ANSWER Brandt"):
            first, before, twin = seen, list(seen["transcript"]), sync.step([text] * 2)
            seen = env.step([text] * 2)
            assert seen[0]["transcript"] == twin[0]["transcript"] != before, "the latest, not the first"
            if vector_kwargs.get("copy", True):
                assert list(first["transcript"]) == before and type(seen[0]["transcript"]) is tuple, "a copy stays"
            assert list(seen[1]) == list(twin[1]) and list(seen[2]) == list(twin[2])
            seen, twin = seen[0], twin[0]
        assert all("#ANSWER" in text for text in seen["transcript"]) and len(seen["transcript"]) == 2
    finally:
        env.close()


ANSWERS = ["#CLARIFY Which kind?", "#MULTI_ANS film: Brandt; Jon Vale; Bank of Lund", "#ANSWER x", "no tag"]
COPIES = [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))]


@pytest.mark.parametrize("through", COPIES, ids=["copy", "pickle"])
@pytest.mark.parametrize("moves", [0, 1], ids=["at the start", "mid-game"])
@pytest.mark.parametrize("task", [Toy(), "almanac", "ledger"], ids=["toy", "almanac", "ledger"])
def test_a_copy_goes_on_as_the_original(task, moves, through):
    env = gymnasium.make("clarify_env/Assistant-v0", task=task)
    env.reset(seed=3)
    for text in ANSWERS[:moves]:
        env.step(text)
    twin = through(env)
    seen = []
    for one in (env, twin):  # the second plays after the first is done: they share nothing that moves
        trace = [str(one.step(text)) for text in ANSWERS[moves:2]]
        for _ in range(4):  # draws go on, too
            trace += [str(one.reset()), *(str(one.step(text)) for text in ANSWERS[:2])]
        seen.append(trace)
    assert seen[0] == seen[1]


def test_an_environment_is_pickled_before_its_first_reset():
    env = pickle.loads(pickle.dumps(AssistantEnv("almanac", costs=(0.3, 0.03), max_questions=1)))
    assert str(env.reset(seed=5)) == str(AssistantEnv("almanac", costs=(0.3, 0.03), max_questions=1).reset(seed=5))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_episode_statistics_of_many_at_once(mode):
    envs = gymnasium.make_vec("clarify_env/Assistant-v0", num_envs=2, vectorization_mode=mode, task=Toy())
    envs = RecordEpisodeStatistics(envs)
    try:
        envs.reset(seed=[1, 2], options={"intent": 0, "costs": (0.25, 0.03)})
        envs.step(["#CLARIFY Which kind?", "#ANSWER Brandt"])
        *_, infos = envs.step(["#ANSWER Brandt", "ignored: this one is reset"])
        assert infos["episode"]["r"].tolist() == pytest.approx([0.72, 0]) and infos["episode"]["l"].tolist() == [2, 0]
        assert list(envs.return_queue) == pytest.approx([0.97, 0.72]) and list(envs.length_queue) == [1, 2]
        assert infos["outcome"]["questions"][0] == 1
    finally:
        envs.close()


def test_episode_statistics_of_one():
    env = OneRecordEpisodeStatistics(AssistantEnv(Toy()))
    env.reset(seed=0, options=ASKED)
    env.step("#CLARIFY Which kind?")
    *_, info = env.step("#ANSWER Brandt")
    assert info["episode"]["r"] == pytest.approx(0.72) and info["episode"]["l"] == 2


def test_a_text_too_long_for_shared_memory_names_the_argument():
    space = Text(2**24)
    memory = create_shared_memory(space, n=2, ctx=multiprocessing)
    texts = read_from_shared_memory(space, memory, n=2)
    write_to_shared_memory(space, 1, "漢" * (2**20 // 3), memory)
    assert texts == ("", "漢" * (2**20 // 3)) and texts[0:1] == ("",) and repr(texts).startswith("('',")
    with pytest.raises(ValueError, match=r"1,048,578 bytes .* vector_kwargs=\{'shared_memory': False\}"):
        write_to_shared_memory(space, 0, "漢" * (2**20 // 3 + 1), memory)


def test_any_role_can_be_played():
    guessing = {"assistant": ScriptedAssistant(Toy(), "guess")}
    env = gymnasium.make("clarify_env/Role-v0", task=Toy(), role="user", agents=guessing)
    observation, info = env.reset(seed=0, options=ASKED)
    assert "costs" not in observation and observation["transcript"].endswith("assistant: #ANSWER Brandt")
    assert observation["turn"] == 1 and [m["role"] for m in info["messages"]] == ["system", "user"]
    _, reward, terminated, _, info = env.step("Brandt")
    assert terminated and reward == pytest.approx(0.97) and info["outcome"]["accuracy"] == 1


def test_a_game_that_the_others_end_is_dealt_anew():
    class Fickle(Recorder):
        """Breaks the rules at all but every third game."""

        def act(self, views, seeds, openings=None):
            super().act(views, seeds)
            return [Reply("#CLARIFY Which kind?" if len(self.asked) % 3 == 0 else "no tag")]

    assistant = Fickle()
    env = RoleEnv(Toy(), "user", agents={"assistant": assistant})
    assert env.reset(seed=0)[0]["turn"] == 1 and len(assistant.asked) == 3
    with pytest.raises(ValueError, match="the other roles ended 1000 games before user was to move"):
        RoleEnv(Toy(), "user", agents={"assistant": Recorder()}).reset(seed=0)


def test_roles_that_cannot_be_played():
    with pytest.raises(ValueError, match="game clarification has no role 'judge', only assistant, user"):
        RoleEnv(Toy(), "judge")

    class Alone(Clarification):
        players = {}

    with pytest.raises(ValueError, match="game clarification has no scripted player for assistant: name one in agents"):
        RoleEnv(Toy(), "user", game=Alone())


@pytest.mark.parametrize(
    "imports",
    [
        "import clarify_env, gymnasium",
        "import gymnasium, clarify_env",
        "import clarify_env, gymnasium.spaces",
        "from gymnasium import spaces\nimport clarify_env, gymnasium",
    ],
)
def test_registered_whichever_is_imported_first(imports):
    code = f"{imports}\nprint(sorted(name for name in gymnasium.registry if name.startswith('clarify_env')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(sorted(ENVIRONMENTS)), done.stderr


def test_the_package_alone_does_not_import_gymnasium():
    code = "import sys, clarify_env; print('gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


PAGE = (Path(__file__).resolve().parents[1] / "docs" / "adapters.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.partition("## Gymnasium")[2].partition("\n## ")[0], re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=["vector", "parallel"])
def test_the_examples_of_the_page_run(code, capsys):
    exec(compile(code, "docs/adapters.md", "exec"), {})
    assert capsys.readouterr().out
