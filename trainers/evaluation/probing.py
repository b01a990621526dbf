"""Probes of a language model: what it can do of a game before it learns, and what to do next.

A model is ready to learn by self-play if its own messages, or those it writes after an opening, are valid and end, and
if it knows the facts: then some of its games earn more than others, and selection has something to keep.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from agents.options import Scripted, Self
from agents.selfplay import Start
from clarify_env.evaluation.faults import ends_of, fault_report
from clarify_env.games.agents import Agent, RemoteAgent
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup
from trainers.runs.experiment import Experiment, Policy

# Shares below which a model is not ready.
VALID, ENDED, KNOWN = 0.5, 0.9, 0.5
# Share of its messages that may be at fault in one way, of a model that plays a judged role.
FAULTY = 0.02


class Probe(NamedTuple):
    """Games in which the model plays one role, with scripted partners.

    Attributes:
        role: The role.
        opening: What its first message was made to begin with; empty: nothing.
        games: The games.
        lengths: Of each message of a server's model, the number of its tokens and whether it ended by itself; ``None``:
            the model is here, and its messages hold their token ids.
    """

    role: str
    opening: str
    games: list[Trajectory]
    lengths: list[tuple[int, bool]] | None = None


def play_probes(experiment: Experiment, policy: Policy | None, episodes: Sequence[Any]) -> Iterator[Probe]:
    """Plays every role with every opening, at temperature 1; each episode once at training prices drawn for it.

    A server's model plays without openings if it is asked for chat completions, which cannot begin with a given text.
    """
    game = experiment.setup.game
    for role in game.roles:
        if scripted_partners(experiment.setup, role) is None:
            continue
        opens = role in experiment.learns and (experiment.served is None or experiment.served.endpoint == "ids")
        openings = ["", *game.openings.get(role, {}).values()] if opens else [""]
        for opening in openings:
            yield play_probe(experiment, policy, role, opening, episodes)


def play_probe(
    experiment: Experiment, policy: Policy | None, role: str, opening: str, episodes: Sequence[Any]
) -> Probe:
    """Plays one role with one opening and scripted partners, which the game must have; see `play_probes`."""
    model = experiment.players(policy, 1.0)[experiment.learns[0]]
    partners = scripted_partners(experiment.setup, role)
    assert partners is not None, "a role without a scripted player"
    games = _play(experiment, episodes, partners | {role: model}, {role: opening})
    return Probe(role, opening, games, lengths_of(model))


def _play(
    experiment: Experiment, episodes: Sequence[Any], agents: Mapping[str, Agent], openings: Mapping[str, str]
) -> list[Trajectory]:
    """Plays every episode once, at drawn training prices; the deals are the same whoever plays."""
    setup, prices = experiment.setup, experiment.plane.train()
    rng = np.random.default_rng(experiment.seed)
    starts = [
        Start(
            episode,
            setup.game.draw(episode, rng),
            prices[rng.integers(len(prices))],
            int(rng.integers(2**62)),
            prefixes={role: opening for role, opening in openings.items() if opening},
        )
        for episode in episodes
    ]
    return list(experiment.play(starts, agents, chunk=experiment.selfplay.chunk))


def lengths_of(model: Agent) -> list[tuple[int, bool]] | None:
    """Returns the lengths of a server's messages, and whether they ended; ``None`` for a model that is here."""
    if not isinstance(model, RemoteAgent):
        return None
    from agents.servers.agent import ServerAgent

    return model.lengths if isinstance(model, ServerAgent) else None


def probe_conduct(
    experiment: Experiment, policy: Policy | None, episodes: Sequence[Any], examples: int
) -> dict[str, dict[str, Any]]:
    """Measures the faults of every judged role, played by its language model, or by the policy if it has none.

    It plays each episode with every scripted player of the other roles, so that all kinds of messages come up.

    Returns:
        The fault report of each role (`clarify_env.evaluation.faults.FaultCounts.report`), and its ``player``.
    """
    setup = experiment.setup
    reports = {}
    for role in setup.game.faults:
        block = experiment.blocks[role]
        if isinstance(block, Scripted):
            block = Self() if policy is not None else experiment.blocks[experiment.learns[0]]
        of_model = experiment.at(blocks=dict(experiment.blocks) | {role: block})
        model = of_model.players(policy, 1.0)[role]
        others = [other for other in setup.game.roles if other != role]
        names = [[(other, name) for name in setup.game.players.get(other, ())] for other in others]
        games = []
        for cast in product(*names):
            partners = {other: setup.game.player(other, setup.task, name, **setup.options) for other, name in cast}
            games += _play(experiment, episodes, partners | {role: model}, {})
        reports[role] = {"player": model.name} | fault_report(setup, role, games, ends_of(model), examples)
    return reports


def scripted_partners(setup: Setup, role: str) -> dict[str, Agent] | None:
    """Returns the scripted players of all other roles; ``None`` if the game lacks one."""
    others = [other for other in setup.game.roles if other != role]
    if not all(setup.game.players.get(other) for other in others):
        return None
    return {
        other: setup.game.player(other, setup.task, setup.game.players[other][0], **setup.options) for other in others
    }


def probed(setup: Setup, probe: Probe, end_ids: Collection[int]) -> dict[str, Any]:
    """Returns the figures of a probe.

    Args:
        setup: Game, task and options.
        probe: Its games.
        end_ids: Ids that end a message.

    Returns:
        ``role``, ``opening``, ``games``; ``valid``, the share of games without an invalid message; ``ended``, the share
        of its messages that end before the limit on their length; ``score``, the mean score; ``score_clear``, that of
        episodes without anything hidden (``None`` if there are none); ``tokens`` per message; ``actions``, the share of
        each kind of its first message.
    """
    turns = [turn for game in probe.games for turn in game.moves((probe.role,))]
    clear = [g for g in probe.games if len(setup.weights(setup.task.lookup(g.episode_id))) == 1]
    firsts = [game.moves((probe.role,))[:1] for game in probe.games]
    lengths = probe.lengths
    if lengths is None:
        lengths = [
            (len(turn.reply.ids or ()), turn.reply.ids is not None and turn.reply.ids[-1] in end_ids) for turn in turns
        ]
    acts = probe.role in setup.game.learns  # kinds of messages are those of learning roles
    kinds = Counter(setup.game.kind(first[0]) for first in firsts if first and acts)
    total = max(sum(kinds.values()), 1)
    return {
        "role": probe.role,
        "opening": probe.opening,
        "games": len(probe.games),
        "valid": _mean([not game.result.flags.get("invalid", False) for game in probe.games]),
        "ended": _mean([ended for _, ended in lengths]),
        "score": _mean([game.result.of(probe.role).score for game in probe.games]),
        "score_clear": _mean([game.result.of(probe.role).score for game in clear]) if clear else None,
        "tokens": _mean([tokens for tokens, _ in lengths]),
        "actions": {kind: count / total for kind, count in kinds.items()},
    }


def advice(
    rows: Sequence[Mapping[str, Any]],
    learns: Sequence[str],
    max_new_tokens: int,
    served: bool = False,
    conduct: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[str]:
    """Returns what to do next, one sentence each; the first says whether the model is ready.

    Args:
        rows: Figures of the probes; see `probed`.
        learns: Learning roles.
        max_new_tokens: Longest message of the policy in tokens.
        served: Whether a server plays the model, so that neither learning nor a warm start is advised.
        conduct: Fault reports by role; see `probe_conduct`.
    """
    own = [row for row in rows if row["role"] in learns]
    free = [row for row in own if not row["opening"]]
    opened = [row for row in own if row["opening"]] or free
    sentences = []
    if (ended := _mean([row["ended"] for row in own])) < ENDED:
        sentences.append(
            f"{1 - ended:.0%} of its messages reach assistant.max_new_tokens={max_new_tokens} without an end: raise it "
            + ("if they are cut off." if served else "if they are cut off, else let a warm start teach it to end them.")
        )
    valid, valid_opened = _mean([row["valid"] for row in free]), _mean([row["valid"] for row in opened])
    if max(valid, valid_opened) < VALID:
        sentences.append(
            f"{valid:.0%} of its games are valid, and {valid_opened:.0%} after an opening: "
            + ("" if served else "warm-start it (python -m trainers.sft), or ")
            + "try another prompt (prompts=natural, brief, budget, relative)."
        )
    elif valid < VALID:
        sentences.append(
            f"Its messages are valid after an opening ({valid_opened:.0%}) but seldom by themselves ({valid:.0%}): "
            "methods that force openings can learn from it"
            + ("." if served else "; a warm start (python -m trainers.sft) makes more of it.")
        )
    known = [row["score_clear"] for row in opened if row["score_clear"] is not None]
    if known and max(known) < KNOWN:
        sentences.append(
            f"It scores {max(known):.2f} on episodes with nothing hidden: it lacks the facts of this task. Choose a "
            + (
                "task with a context, or a larger model."
                if served
                else "task with a context, a larger model, or a warm start."
            )
        )
    partners = [row for row in rows if row["role"] not in learns]
    for row in partners:
        if row["score"] < KNOWN * max((other["score"] for other in own), default=0.0) or row["ended"] < ENDED:
            sentences.append(
                f"As {row['role']} it scores {row['score']:.2f}: do not let it play that role (user=self)."
            )
    for role, report in (conduct or {}).items():
        kinds = {name: row for name, row in report["kinds"].items() if name != "any" and (row["rate"] or 0) > FAULTY}
        if kinds:
            named = ", ".join(f"{name} {row['rate']:.0%}" for name, row in kinds.items())
            sentences.append(
                f"As {role}, {report['player']} is at fault ({named} of its messages): "
                + (
                    f"let another model play the {role}, or play with game.leaks=redact."
                    if served
                    else f"let a warm start teach it that role (python -m trainers.sft {role}=self), and play with "
                    "game.leaks=redact until it does."
                )
            )
    ready = max(valid, valid_opened) >= VALID and ended >= ENDED
    verdict = f"{'Ready' if ready else 'Not ready'} to {'play' if served else 'learn by self-play'}."
    return [verdict, *sentences]


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
