"""Played games as rows of data sets: TRL's conversational formats, exact tokens with masks, and verifiers' traces.

A row is about one role of one game. Its prompt and completion are chat messages as the role's model is shown them:
``assistant`` is the row's role, ``user`` is everyone else. A completion is one message, so that a trainer which learns
completions learns no word of others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from clarify_env.data.records import game_record
from clarify_env.data.segments import GIVEN, SAMPLED, tokens_of
from clarify_env.games.base import Trajectory, Turn, View
from clarify_env.games.description import Messages
from clarify_env.games.setup import Setup

Row = dict[str, Any]
# Style of each role's prompts; a role that is not named: the game's default.
Styles = Mapping[str, str]


def export(
    setup: Setup,
    games: Iterable[Trajectory],
    to: str = "completions",
    *,
    roles: Sequence[str] | None = None,
    styles: Styles | None = None,
    threshold: float | None = None,
) -> Iterator[Row]:
    """Yields the rows of some games.

    Args:
        setup: Game, task and options.
        games: The games.
        to: ``completions``: prompt, completion and reward of each message. ``unpaired``: prompt, completion and label
            of each message. ``tokens``: exact token ids with masks. ``traces``: verifiers' results. ``games``: whole
            games, which `clarify_env.data.records.read_games` reads.
        roles: Roles whose messages are exported; ``None``: those that learn by the game's description. ``games`` holds
            every role.
        styles: Style of each role's prompts.
        threshold: Lowest reward of a good message, for ``unpaired``; ``None``: the mean over the games with the same
            episode, costs and role or, where these all earned the same, over all games of the role.

    Raises:
        ValueError: There is no such format, or the game has no such role.
    """
    if to not in FORMATS:
        raise ValueError(f"to must be one of {', '.join(FORMATS)}, not {to!r}")
    chosen = tuple(roles if roles is not None else setup.game.learns or setup.game.roles[:1])
    if strange := [role for role in chosen if role not in setup.game.roles]:
        raise ValueError(f"roles: game {setup.game.name} has the roles {', '.join(setup.game.roles)}, not {strange[0]}")
    if to == "unpaired":
        return _unpaired(setup, list(games), chosen, styles or {}, threshold)
    return FORMATS[to](setup, games, chosen, styles or {})


def origin_of(game: Trajectory, role: str) -> Row:
    """Returns the columns that say which game and role a row is about."""
    return {
        "game": game.game,
        "task": game.task,
        "split": game.split,
        "game_id": game.id,
        "episode_id": game.episode_id,
        "hidden": game.hidden,
        "costs": [float(price) for price in game.prices],
        "role": role,
        "player": game.agents.get(role, role),
    }


def prompt_of(setup: Setup, view: View, styles: Styles) -> Messages:
    """Returns the chat messages of a view."""
    return setup.game.chat(view, style=styles.get(view.role) or setup.game.default_style)


def completion_of(text: str | None) -> Messages:
    """Returns one message of the row's role."""
    return [{"role": "assistant", "content": text or ""}]


def message_tokens(turn: Turn) -> Row:
    """Returns the token columns of one message; each is ``None`` where no language model replied."""
    reply = turn.reply
    if reply.prompt_ids is None or reply.ids is None:
        return dict.fromkeys(("prompt_ids", "completion_ids", "logprobs", "sampled_mask"))
    return {
        "prompt_ids": list(reply.prompt_ids),
        "completion_ids": list(reply.ids),
        "logprobs": None if reply.logprobs is None else list(reply.logprobs),
        "sampled_mask": [int(index >= reply.forced) for index in range(len(reply.ids))],
    }


def _messages(game: Trajectory, roles: Sequence[str]) -> Iterator[tuple[int, Turn]]:
    return ((index, turn) for index, turn in enumerate(game.turns) if turn.role in roles)


def _completions(setup: Setup, games: Iterable[Trajectory], roles: Sequence[str], styles: Styles) -> Iterator[Row]:
    for game in games:
        masks = _masks(setup, game, roles)
        for index, turn in _messages(game, roles):
            yield {
                "prompt": prompt_of(setup, turn.view, styles),
                "completion": completion_of(turn.reply.text),
                "reward": game.reward(turn.role),
                **origin_of(game, turn.role),
                "turn": index,
                **message_tokens(turn),
                "masks": masks.get(index),
            }


def _masks(setup: Setup, game: Trajectory, roles: Sequence[str]) -> dict[int, dict[str, list[int]]]:
    """Returns for each turn with token ids a mask by role and tool, over its prompt and completion."""
    names = (*setup.game.roles, *setup.game.tools(setup.task))
    masks: dict[int, dict[str, list[int]]] = {}
    for row in chain.from_iterable(tokens_of(game, role) for role in roles):
        whole = {name: row.mask_of(name) for name in names}
        for index in row.turns:
            reply = game.turns[index].reply
            length = len(reply.prompt_ids or ()) + len(reply.ids or ())
            masks[index] = {name: mask[:length] for name, mask in whole.items()}
    return masks


def _tokens(setup: Setup, games: Iterable[Trajectory], roles: Sequence[str], styles: Styles) -> Iterator[Row]:
    names = (*setup.game.roles, *setup.game.tools(setup.task))
    for game in games:
        for row in chain.from_iterable(tokens_of(game, role) for role in roles):
            yield {
                "input_ids": row.ids,
                # TRL's name: 1 where the row's role wrote the token, whose loss alone is learned.
                "assistant_masks": row.mask(GIVEN, SAMPLED),
                "sampled_mask": row.mask(SAMPLED),
                "logprobs": row.logprobs,
                "masks": {name: row.mask_of(name) for name in names},
                "reward": game.reward(row.role),
                **origin_of(game, row.role),
                "turns": list(row.turns),
            }


def _unpaired(
    setup: Setup, games: Sequence[Trajectory], roles: Sequence[str], styles: Styles, threshold: float | None
) -> Iterator[Row]:
    good = _good(games, roles) if threshold is None else lambda game, role: game.reward(role) >= threshold
    for game in games:
        for row in _completions(setup, [game], roles, styles):
            yield row | {"label": good(game, row["role"])}


def _good(games: Sequence[Trajectory], roles: Sequence[str]) -> Callable[[Trajectory, str], bool]:
    """Returns whether a role earned at least the mean of its group or, if that earned all the same, of all games."""
    groups: dict[tuple, list[float]] = {}
    for game in games:
        for role in roles:
            groups.setdefault((role, game.episode_id, tuple(game.prices)), []).append(game.reward(role))
    everywhere = {
        role: [reward for key, group in groups.items() if key[0] == role for reward in group] for role in roles
    }
    means = {role: sum(rewards) / max(len(rewards), 1) for role, rewards in everywhere.items()}

    def good(game: Trajectory, role: str) -> bool:
        group = groups[role, game.episode_id, tuple(game.prices)]
        mean = sum(group) / len(group) if max(group) - min(group) > 1e-9 else means[role]
        return game.reward(role) >= mean - 1e-9

    return good


def _traces(setup: Setup, games: Iterable[Trajectory], roles: Sequence[str], styles: Styles) -> Iterator[Row]:
    numbers: dict[str, int] = {}
    for game in games:
        for role in roles:
            turns = game.moves((role,))
            if not turns:
                continue
            first, last = prompt_of(setup, turns[0].view, styles), prompt_of(setup, turns[-1].view, styles)
            between = last[len(first) :] if last[: len(first)] == first else _plain(turns[0].view, turns[-1].view)
            answer = setup.game.gold_reply(setup.task.lookup(game.episode_id), game.hidden)
            yield {
                "example_id": numbers.setdefault(game.episode_id, len(numbers)),
                "task": game.task,
                "prompt": first,
                "completion": [*between, *completion_of(turns[-1].reply.text)],
                "answer": answer or "",
                "reward": game.reward(role),
                "metrics": {name: float(value) for name, value in setup.measures(game).items()},
                "info": origin_of(game, role) | {"seed": game.seed},
                "timing": {},
                "is_completed": True,
                "is_truncated": False,
                "stop_condition": "game_over",
                "error": None,
            }


def _plain(first: View, last: View) -> Messages:
    """Returns the messages heard between two views of a role, for styles whose later prompts are written anew."""
    return [
        {"role": "assistant" if message.sender == last.role else "user", "content": message.text}
        for message in last.heard[len(first.heard) :]
    ]


def _games(setup: Setup, games: Iterable[Trajectory], roles: Sequence[str], styles: Styles) -> Iterator[Row]:
    return (game_record(setup, game) for game in games)


FORMATS: dict[str, Callable[..., Iterator[Row]]] = {
    "completions": _completions,
    "unpaired": _unpaired,
    "tokens": _tokens,
    "traces": _traces,
    "games": _games,
}
