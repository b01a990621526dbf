"""``python tests/peer_games.py PEER GAMES``: plays games in a peer and the same games directly; fails if they differ.

Each peer's games are also played, fewer of them, by its adapter's tests where the peer is installed.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from gymnasium.utils import seeding
from scripted_endpoint import Speaker, serve

from clarify_env.dealing import Dealer
from clarify_env.games.base import Reply
from clarify_env.games.clarification.description import Clarification
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from clarify_env.gym import RoleEnv
from clarify_env.selfplay import Start, play, turn_seed
from clarify_env.tasks.registry import make_task

TASK = "almanac"


def starts(games, first=0):
    """How the games begin that `RoleEnv.reset` deals for the seeds from `first` on."""
    env, found = RoleEnv(TASK, "assistant"), []
    for seed in range(first, first + games):
        env.reset(seed=seed)
        found.append(Start(env.game.episode, env.game.hidden, tuple(env.game.prices), seed))
    return found


def chats(game, speaker):
    """What each role that `speaker` plays saw and said, as the chat of its last move and the reply to it."""
    moves = {turn.role: turn for turn in game.turns}
    return {
        role: [*speaker.game.chat(turn.view, speaker.style), {"role": "assistant", "content": turn.reply.text}]
        for role, turn in moves.items()
    }


def evaluate(env, say):
    """Episodes of verifiers' own evaluation, read by its own reader from the traces.jsonl that it wrote."""
    import verifiers.v1 as vf
    from verifiers.v1.cli.eval.runner import run_eval
    from verifiers.v1.configs.cli.eval import EvalConfig
    from verifiers.v1.utils.trace_store import read_episodes

    with serve(say) as (url, bodies), tempfile.TemporaryDirectory() as folder:
        config = EvalConfig(
            env=env,
            model="speaker",
            client={"base_url": url, "api_key_var": "NO_KEY"},
            push=False,
            rich=None,
            output_dir=folder,
        )
        asyncio.run(run_eval(config))
        (stored,) = Path(folder).glob("*/traces.jsonl")
        episodes = {episode.task.data.seed: episode for episode in read_episodes(stored.parent, vf.WireTrace)}
    return episodes, bodies


def play_verifiers(games, scripted=("user",), trainable=("assistant",), style=None, say=None):
    """Plays games in verifiers and directly; `say` makes the endpoint's reply from the speaker's own."""
    dealt, task = starts(games), make_task(TASK)
    speaker = Speaker([start.episode for start in dealt], style)
    user = ScriptedUser(task) if "user" in scripted else speaker
    direct = list(play(dealt, {"assistant": speaker, "user": user}, task=task))
    measures = Setup(speaker.game, task)
    env = {
        "taskset": {"id": "clarify-verifiers", "source": TASK, "games": games},
        "scripted": list(scripted),
        "trainable": list(trainable),
        "style": style,
        "assistant": {"harness": {"max_retries": 4}},
    }
    episodes, bodies = evaluate(env, speaker.say if say is None else say(speaker))
    assert sorted(episodes) == list(range(games))
    expected_seeds = Counter()
    for seed, game in enumerate(direct):
        episode = episodes[seed]
        assert episode.ok and not episode.errors
        moved = {turn.role for turn in game.turns} - set(scripted)
        assert {trace.agent.name for trace in episode.traces} == moved
        for trace in episode.traces:
            role = trace.agent.name
            record, expected = trace.info["game"], game.to_json()
            for name in ("episode_id", "hidden", "prices", "seed", "turns", "result", "reward"):
                assert record[name] == expected[name], (seed, name, record[name], expected[name])
            assert trace.reward == game.reward(role) and trace.agent.trainable == (role in trainable)
            assert trace.metrics == measures.measures(game)
            harness = trace.agent.config.harness
            assert (harness.id, harness.max_retries) == ("clarify-verifiers", 4 if role == "assistant" else 2)
            (branch,) = trace.branches
            seen = [{"role": message.role, "content": message.content or ""} for message in branch.messages]
            assert seen == chats(game, speaker)[role], (seed, role)
            sampled = [node.message.content or "" for node in trace.nodes if node.sampled]
            assert sampled == [turn.reply.text for turn in game.turns if turn.role == role]
        expected_seeds.update(
            turn_seed(seed, number) for number, turn in enumerate(game.turns) if turn.role not in scripted
        )
    assert say or Counter(body["seed"] for body in bodies) == expected_seeds
    return direct


def busy_at_first(speaker):
    """An endpoint that refuses every chat once with the status 503."""
    met = set()

    def say(chat, seed):
        if (key := str((chat, seed))) in met:
            return speaker.say(chat, seed)
        met.add(key)
        return 503

    return say


def fail_verifiers():
    """A game whose endpoint refuses is not scored, the others are."""
    third = turn_seed(2, 0)
    env = {"taskset": {"id": "clarify-verifiers", "source": TASK, "games": 4}}
    episodes, _ = evaluate(env, lambda chat, seed: 400 if seed == third else "#ANSWER 1900")
    assert {seed for seed, episode in episodes.items() if episode.ok} == {0, 1, 3}
    failed = episodes[2]
    assert "the assistant gave no reply at move 0: upstream 400" in failed.errors[0].message
    assert [trace.rewards for trace in failed.traces] == [{}]
    assert all("game" in trace.rewards for seed in (0, 1, 3) for trace in episodes[seed].traces)


REFUSED = [
    ({"scripted": ["waiter"]}, {}, "env.scripted: game clarification has no role 'waiter', only assistant, user"),
    ({"trainable": ["waiter"]}, {}, "env.trainable: game clarification has no role 'waiter'"),
    ({"scripted": ["user", "assistant"]}, {}, "env.scripted leaves no seat to a model"),
    ({"style": "loud"}, {}, "style must be one of"),
    ({}, {"costs": [1.0]}, "costs must be a pair"),
    ({}, {"game": "chess"}, "unknown game 'chess'"),
    ({}, {"game_options": {"max_question": 1}}, "has no option max_question"),
]


def refuse_verifiers():
    """What cannot be played is refused before a game, in one sentence."""
    from clarify_env.adapters.verifiers import ClarifyEnv, ClarifyEnvConfig, ClarifyTasksetConfig

    for options, taskset, words in REFUSED:
        try:
            ClarifyEnv(ClarifyEnvConfig(taskset=ClarifyTasksetConfig(**taskset), **options))
        except ValueError as error:
            assert words in str(error) and "\n" not in str(error), error
        else:
            raise AssertionError(f"not refused: {words}")
    env = ClarifyEnv(ClarifyEnvConfig())
    task = next(iter(env.taskset))
    assert len(env.slots(task)) == 1 and len(ClarifyEnv(ClarifyEnvConfig(seeded=False)).slots(task, 2)) == 2
    try:
        env.slots(task, 2)
    except ValueError as error:
        assert "2 rollouts of a task with the same seeds" in str(error)
    else:
        raise AssertionError("two rollouts would be the same game")


def verifiers(games):
    """All forms of play."""
    refuse_verifiers()
    fail_verifiers()
    play_verifiers(4, say=busy_at_first)
    return [
        *play_verifiers(games),
        *play_verifiers(games, scripted=(), trainable=("user",)),
        *play_verifiers(max(8, games // 10), style="natural"),
    ]


def by_kernel(games):
    """The games of `RoleEnv` with the scripted user, played on the kernel alone: rewards and all turns."""
    task = make_task(TASK)
    dealer, user = Dealer(task, None, "clarification"), ScriptedUser(task)
    speaker, played = Speaker([start.episode for start in starts(games)]), []
    for seed in range(games):
        rng, _ = seeding.np_random(seed)
        game = dealer.deal(rng, None)
        while (role := game.to_move) is not None:
            if role == "user":
                game.apply(user.act([game.view(role)], [int(rng.integers(2**31))])[0])
            else:
                game.apply(Reply(speaker.say(dealer.game.chat(game.view(role), speaker.style), seed)))
        played.append(game)
    return speaker, played


def play_skyrl(games):
    """Plays through skyrl_gym.make, as SkyRL's generator does, from rows of a data set."""
    import skyrl_gym

    from clarify_env.adapters.skyrl import rows

    speaker, direct = by_kernel(games)
    for row, game in zip(rows(range(games)), direct, strict=True):
        env = skyrl_gym.make(row["env_class"], env_config={"task": TASK}, extras={"seed": row["seed"]})
        chat, _ = env.init(row["prompt"])
        assert chat == row["prompt"]
        chat, rewards, done = list(chat), [], False
        while not done:
            reply = speaker.say(chat, row["seed"])
            output = env.step(reply)
            chat += [{"role": "assistant", "content": reply}, *output["observations"]]
            rewards.append(output["reward"])
            done = output["done"]
        assert sum(rewards) == game.result.reward(game.prices) == env.get_metrics()["reward"]
        assert chat == chats(game, speaker)["assistant"]
        assert env.env.game.turns[-1].reply.text == game.turns[-1].reply.text
        env.close()
    refuse_skyrl()
    return direct


class Counting(Clarification):
    """Its chats begin with the number of messages, so that none continues another."""

    def chat(self, view, style="zero_shot"):
        return [{"role": "system", "content": f"{len(view.heard)} messages"}, *super().chat(view, style)]


def refuse_skyrl():
    """Chats that do not continue the last one, rows without a seed, and seeds that are none, are refused."""
    from clarify_env.adapters.skyrl import ClarifyTextEnv

    env = ClarifyTextEnv({"task": TASK}, {"seed": 0})
    env.env.description = Counting()
    env.init()
    refuse(lambda: env.step("#CLARIFY Which kind is it?"), "this style of the chat changes earlier messages")
    refuse(lambda: ClarifyTextEnv({"task": TASK}, {}), "must have a seed")
    refuse(lambda: ClarifyTextEnv([1], {"seed": 0}), "env_config must be a mapping")
    for seed in ("x", None, 1.7, True, -1):
        refuse(lambda seed=seed: ClarifyTextEnv({"task": TASK}, {"seed": seed}), "seed of a row must be a whole number")


def refuse(act, words):
    try:
        act()
    except ValueError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused: {words}")


def play_gem(games):
    """Plays through gem.make, and as many by gem.make_vec, whose environments draw their first seed from one."""
    import gem

    from clarify_env.adapters.gem import NAME

    speaker, direct = by_kernel(games)
    for seed in ("x", 1.7, -1):
        refuse(lambda seed=seed: gem.make(NAME, task=TASK, seed=seed), "seed must be a whole number")
    env = gem.make(NAME, task=TASK)
    assert env.spawn(same_state=True).reset(seed=3) == env.reset(seed=3), "before a game is dealt"
    vector = gem.make_vec([NAME] * games, seed=0, task=TASK)
    texts, infos = vector.reset()
    for seed, game in enumerate(direct):
        text, info = env.reset(seed=seed)
        assert (text, info["episode_id"]) == (texts[seed], infos[seed]["episode_id"])
        seen, total, over = [text], 0.0, False
        while not over:
            reply, twin = speaker.say(info["messages"], seed), env.spawn(same_state=True)
            text, reward, over, truncated, info = env.step(reply)
            assert twin.step(reply) == (text, reward, over, truncated, info), "observation, reward, ends, info"
            seen.append(text)
            total += reward
            assert not truncated
        assert total == game.result.reward(game.prices)
        assert info["outcome"] == speaker.game.measures(game.task, game.episode, game)
        assert [turn.reply for turn in env.env.game.turns] == [turn.reply for turn in game.turns]
        heard = [turn.reply.text for turn in game.turns if turn.role == "user"]
        assert [text for text in seen[1:] if text] == heard, "after an invalid message nobody says anything"
    return direct


PEERS = {"verifiers": verifiers, "skyrl": play_skyrl, "gem": play_gem}

if __name__ == "__main__":
    peer, count = sys.argv[1], int(sys.argv[2])
    played = PEERS[peer](count)
    solved = sum(game.result.score > 0 for game in played)
    assert 0 < solved < len(played), "games of all kinds"
    print(f"{peer}: {len(played)} games equal, {solved} solved")
