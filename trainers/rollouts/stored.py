"""Stored games in place of played ones (``rollouts.games``): those of a run, or games that were imported."""

from collections.abc import Iterator, Mapping
from typing import Any

from clarify_env.games.agents import Agent
from clarify_env.games.base import Reply, Trajectory, Turn
from clarify_env.games.description import Description
from trainers.data.stored import StoredRun, open_run
from trainers.runs.experiment import Experiment


def check_stored(experiment: Experiment, folder: str) -> None:
    """Checks that the games of a run are of this experiment's game, options and training episodes.

    Raises:
        ValueError: They are not; the message names the option.
    """
    stored, setup = open_run(folder, "rollouts.games"), experiment.setup
    for name, theirs, ours in (
        ("game", stored.experiment.setup.game.name, setup.game.name),
        ("task", stored.experiment.task.name, setup.task.name),
    ):
        if theirs != ours:
            raise ValueError(f"rollouts.games: {folder} holds games of {name} {theirs}, not of {ours}")
    if stored.experiment.setup.options != setup.options:
        raise ValueError(f"rollouts.games: the games of {folder} were played with other options of game.*")
    check_training(stored, "rollouts.games")
    for name in stored.episode_ids():
        if stored.experiment.task.lookup(name) != setup.task.lookup(name):
            raise ValueError(f"rollouts.games: {name} in {folder} is another episode: it has other options of task.*")


def check_training(stored: StoredRun, option: str) -> None:
    """Checks that the games of a run were played on training episodes.

    Args:
        stored: The run.
        option: Name of the option that chose it, for errors.

    Raises:
        ValueError: They were not.
    """
    for name in stored.episode_ids():
        if name.rpartition("/")[0] != "train":
            raise ValueError(f"{option}: {stored.folder} holds games on {name}, which is no training episode")


def stored_groups(
    experiment: Experiment, agents: Mapping[str, Agent], folder: str, iteration: int, budget: int
) -> Iterator[tuple[Any, list[Trajectory]]]:
    """Yields the episode and the games of each group (equal episode and prices) that an iteration learns from.

    Iterations take the groups in the order of the files, as many whole groups as fit the budget of each.

    Args:
        experiment: Task, game and learning roles.
        agents: Agent of each role; those of roles that the policy plays have a renderer.
        folder: Run directory.
        iteration: Number of the iteration, from 1.
        budget: Maximum number of games of an iteration.

    Raises:
        ValueError: No group is left for the iteration, or a group is larger than its budget.
    """
    groups: dict[tuple, list[Trajectory]] = {}
    for _, game in open_run(folder, "rollouts.games").games():
        groups.setdefault((game.episode_id, game.prices), []).append(game)
    current, left, given = 1, budget, 0
    for (episode_id, _), games in groups.items():
        if len(games) > budget:
            held = f"the {len(games)} games of {episode_id} in {folder}"
            raise ValueError(f"budget.games: {budget} games an iteration do not hold {held}")
        if len(games) > left:
            current, left = current + 1, budget
        left -= len(games)
        if current == iteration:
            given += 1
            yield experiment.task.lookup(episode_id), [_tokenized(experiment, agents, game) for game in games]
    if not given:
        raise ValueError(
            f"rollouts.games: {folder} has no games left for iteration {iteration}, of {budget} games each"
        )


def _tokenized(experiment: Experiment, agents: Mapping[str, Agent], game: Trajectory) -> Trajectory:
    """Returns a game whose messages of the policy's roles have token ids of the policy's tokenizer.

    Ids on file are kept if they are the message in this tokenizer. Others are tokenized from the text, without
    log-probabilities: given are the tokens of an opening that was given to the model, or all of them if none was.
    """
    roles = {*experiment.learns, *experiment.partners}
    description = experiment.setup.game
    turns = tuple(
        _with_ids(turn, agents[turn.role], description) if turn.role in roles else turn for turn in game.turns
    )
    return game._replace(turns=turns)


def _with_ids(turn: Turn, agent: Any, description: Description) -> Turn:
    renderer, reply = agent.renderer, turn.reply
    text = reply.text or ""
    prompt_ids = renderer.encode(turn.view)
    if reply.ids is not None and reply.prompt_ids == prompt_ids and renderer.decode(reply.ids) == text:
        return turn
    ids = renderer.tokenize_reply(text)
    opened = 0 < reply.forced < len(reply.ids or ())
    given = max(renderer.leading(ids[:-1], description.opening_length(text)), 1) if opened else len(ids)
    return turn._replace(reply=Reply(text, prompt_ids, ids, None, given))
