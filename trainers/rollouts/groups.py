"""Plays the games of a group: one episode at one price vector, with several first messages.

First messages are sampled freely and after each forced opening (``rollouts.actions``), so that every action is tried.
With ``rollouts.marginal`` each distinct first message is played for every hidden possibility, so that a lucky guess is
not mistaken for a good policy. Otherwise each is played once, for a possibility drawn by weight.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from agents.selfplay import Start, play
from clarify_env.costs import Prices
from clarify_env.games.agents import Agent
from clarify_env.games.base import Reply, Trajectory
from clarify_env.games.setup import Setup
from trainers.runs.options import RolloutOptions

# Largest number of roles whose first messages are forced: `was_played` looks at the seeds that their games can have.
_MOST_ROLES = 64


class Group(NamedTuple):
    """Episode, prices and seed of the games of a group.

    Attributes:
        episode: The episode.
        prices: The prices.
        seed: Seed of everything drawn in the group.
    """

    episode: Any
    prices: Prices
    seed: int


def play_groups(
    setup: Setup,
    rollouts: RolloutOptions,
    groups: Sequence[Group],
    agents: Mapping[str, Agent],
    first_id: int = 0,
    most: int | None = None,
    spent: Callable[[int], None] = lambda tokens: None,
) -> list[Trajectory]:
    """Plays the games of several groups.

    If the first mover knows what is hidden (or has no agent), first messages are not sampled in advance: each is one
    game, for a possibility drawn by weight.

    Args:
        setup: Game, task and options.
        rollouts: How first messages are sampled and how often each is played.
        groups: The groups.
        agents: Agent of each role.
        first_id: Number of the first game.
        most: Maximum number of games: from the first group whose games do not fit, no group is played; ``None``: all.
        spent: Called with the number of tokens sampled for first messages in advance, those of groups that are not
            played included.

    Raises:
        ValueError: ``rollouts.actions`` names an action that cannot be forced, or ``rollouts.marginal`` is set although
            the first mover knows what is hidden.
    """
    mover = setup.deal(groups[0].episode, 0, groups[0].prices).to_move
    openings = [] if rollouts.each_role else forced_openings(setup, rollouts, mover)
    if rollouts.each_role:
        prefixes = prefixes_by_game(setup, rollouts)
        by_group = [list(_with_prefixes(setup, group, prefixes)) for group in groups]
    elif mover in setup.game.blind and mover in agents:
        by_group = _from_openings(setup, rollouts, groups, agents[mover], mover, openings, spent)
    elif rollouts.marginal:
        raise ValueError(
            f"rollouts.marginal: {mover}, who moves first in game {setup.game.name}, can tell what is hidden; choose "
            "rollouts=plain"
        )
    else:
        prefixes = [{mover: opening} if opening and mover else {} for opening in openings]
        by_group = [list(_with_prefixes(setup, group, prefixes)) for group in groups]
    starts: list[Start] = []
    for of_group in by_group:
        if most is not None and len(starts) + len(of_group) > most:
            break
        starts += of_group
    finished = play(
        starts,
        agents,
        task=setup.task,
        game=setup.game,
        options=setup.options,
        chunk=max(len(starts), 1),
        first_id=first_id,
    )
    return list(finished)


def most_games(setup: Setup, rollouts: RolloutOptions, group: Group) -> int:
    """Returns the number of games of a group if all of its first messages are distinct: the most that it can need.

    A first message is played for every hidden possibility, and ``follow_ups`` times where its sender moves again.
    """
    if rollouts.each_role:
        return len(prefixes_by_game(setup, rollouts))
    mover = setup.deal(group.episode, 0, group.prices).to_move
    openings = forced_openings(setup, rollouts, mover)
    if not rollouts.marginal or mover not in setup.game.blind:
        return len(openings)
    # What follows an opening does not change its kind of action; of a free message the kind is not known.
    final = [bool(text) and not setup.game.plays_on(setup.decision(group.episode, f"{text} x")) for text in openings]
    return len(setup.weights(group.episode)) * sum(1 if ends else rollouts.follow_ups for ends in final)


def was_played(rollouts: RolloutOptions, group: Group, games: Sequence[Trajectory]) -> bool:
    """Returns whether games of a group are among some games: their seeds count on from that of the group."""
    roles = _MOST_ROLES if rollouts.each_role else 1
    last = 2 * (rollouts.free + roles * rollouts.forced * len(rollouts.actions)) + rollouts.follow_ups
    return any(0 <= game.seed - group.seed <= last for game in games)


def forced_openings(setup: Setup, rollouts: RolloutOptions, role: str | None) -> list[str]:
    """Returns the opening text of each first message of a group: free ones, then forced ones by action.

    Raises:
        ValueError: An action cannot be forced.
    """
    known = setup.game.openings.get(role or "", {})
    if rollouts.forced and (unknown := [action for action in rollouts.actions if action not in known]):
        raise ValueError(
            f"rollouts.actions: {', '.join(unknown)} cannot be forced in game {setup.game.name}; its first mover has "
            f"{', '.join(known) or 'no openings'} (rollouts.forced=0 forces none)"
        )
    return [""] * rollouts.free + [known[action] for action in rollouts.actions for _ in range(rollouts.forced)]


def prefixes_by_game(setup: Setup, rollouts: RolloutOptions) -> list[dict[str, str]]:
    """Returns how first messages must start, by role, in each game of a group of ``rollouts.each_role``.

    The free games come first, then ``forced`` games for each role and each of its actions.

    Raises:
        ValueError: No role has an action that is named, nothing is forced, or ``rollouts.marginal`` is set.
    """
    if rollouts.marginal:
        raise ValueError("rollouts.each_role needs rollouts.marginal=false: roles that move later are forced as well")
    if not rollouts.forced:
        raise ValueError("rollouts.each_role forces openings of each role, and rollouts.forced=0 forces none")
    openings = setup.game.openings
    known = list(dict.fromkeys(action for by_action in openings.values() for action in by_action))
    if unknown := [action for action in rollouts.actions if action not in known]:
        raise ValueError(
            f"rollouts.actions: {', '.join(unknown)} cannot be forced in game {setup.game.name}; its roles have "
            f"{', '.join(known) or 'no openings'}"
        )
    forced = [
        {role: by_action[action]}
        for role, by_action in openings.items()
        for action in rollouts.actions
        if action in by_action
        for _ in range(rollouts.forced)
    ]
    return [{} for _ in range(rollouts.free)] + forced


def sampled_tokens(reply: Reply) -> int:
    """Returns the number of tokens of a reply that were sampled, not given to the model or tokenized from its text."""
    if reply.ids is None or (reply.forced and reply.logprobs is None):
        return 0
    return len(reply.ids) - reply.forced


def _from_openings(
    setup: Setup,
    rollouts: RolloutOptions,
    groups: Sequence[Group],
    agent: Agent,
    mover: str,
    openings: list[str],
    spent: Callable[[int], None],
) -> list[list[Start]]:
    views = [setup.deal(g.episode, 0, g.prices).view(mover) for g in groups for _ in openings]
    seeds = [group.seed + k for group in groups for k in range(len(openings))]
    replies = agent.act(views, seeds, openings * len(groups))
    spent(sum(map(sampled_tokens, replies)))
    starts: list[list[Start]] = []
    for index, group in enumerate(groups):
        first_messages = replies[index * len(openings) : (index + 1) * len(openings)]
        if rollouts.marginal:
            starts.append(list(_every_possibility(setup, rollouts, group, first_messages, mover)))
        else:
            possibilities = _draw(setup, group, len(openings))
            starts.append(
                [
                    Start(group.episode, hidden, group.prices, group.seed + len(openings) + k, reply)
                    for k, (hidden, reply) in enumerate(zip(possibilities, first_messages, strict=True))
                ]
            )
    return starts


def _every_possibility(
    setup: Setup, rollouts: RolloutOptions, group: Group, first_messages: Sequence[Reply], mover: str
) -> Iterator[Start]:
    """Yields each distinct first message for every possibility, ``follow_ups`` times if its sender moves again."""
    episode = group.episode
    distinct = {setup.decision(episode, reply.text or ""): reply for reply in reversed(first_messages)}
    for decision, reply in distinct.items():
        plays_on = setup.game.plays_on(decision)
        for follow_up in range(rollouts.follow_ups if plays_on else 1):
            seed = group.seed + len(first_messages) + follow_up
            # The first follow-ups are forced to try what the game says, as a message that ends it.
            forced = setup.game.follow_up_openings[follow_up : follow_up + 1]
            prefixes = {mover: forced[0]} if forced else {}
            for hidden in range(len(setup.weights(episode))):
                yield Start(episode, hidden, group.prices, seed, reply, prefixes)


def _with_prefixes(setup: Setup, group: Group, prefixes: Sequence[Mapping[str, str]]) -> Iterator[Start]:
    for k, (hidden, of_game) in enumerate(zip(_draw(setup, group, len(prefixes)), prefixes, strict=True)):
        yield Start(group.episode, hidden, group.prices, group.seed + len(prefixes) + k, None, of_game)


def _draw(setup: Setup, group: Group, size: int) -> list[int]:
    weights = setup.weights(group.episode)
    return np.random.default_rng(group.seed).choice(len(weights), size=size, p=weights).tolist()
