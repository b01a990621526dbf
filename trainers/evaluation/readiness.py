"""Says before a long run that its chat model can hardly begin: a few quick games, as a probe plays them."""

from collections.abc import Sequence
from typing import NamedTuple

from clarify_env.evaluation.episodes import split_episodes
from clarify_env.games.description import Description
from trainers.evaluation.probing import Probe, play_probe, scripted_partners
from trainers.runs.experiment import Experiment

# Games without an opening, and after each opening.
_FREE, _OPENED = 8, 4
# Share of valid games below which a model can hardly begin: one of eight does.
_FEW = 0.15
# Prompts for models that were trained on this game, which state no rules; and prompts that need estimates first.
_NOT_TRIED = ("pocket", "prior", "pocket_prior")


class Trial(NamedTuple):
    """Games of a model before a run.

    Attributes:
        free: Numbers of valid games and of games, without an opening.
        opened: The same after the openings; ``None``: these were not played.
    """

    free: tuple[int, int]
    opened: tuple[int, int] | None = None

    @property
    def few(self) -> bool:
        """Returns whether almost no game without an opening is valid."""
        return self.free[0] < _FEW * self.free[1]


def try_model(experiment: Experiment, forced: bool) -> Trial | None:
    """Plays a few games with the policy's chat model; nothing that the run draws depends on them.

    Args:
        experiment: Game, task and players.
        forced: Whether the method also plays first messages after an opening; these are tried if few others are valid.

    Returns:
        What came of them; ``None``: there is nothing to try, since the policy is scripted, its prompts are those of a
        model trained on the game or state a prior, it may reason at length, or a partner has no scripted player.
    """
    setup, role, options = experiment.setup, experiment.learns[0], experiment.policy_options
    if options is None or (options.style or setup.game.default_style) in _NOT_TRIED:
        return None
    if setup.game.reasons(role, **setup.options) or scripted_partners(setup, role) is None:
        return None
    policy = experiment.load_policy()
    split = "validation" if "validation" in setup.task.sizes else experiment.evaluation.split
    episodes = split_episodes(setup.task, split, _FREE)
    trial = Trial(_valid([play_probe(experiment, policy, role, "", episodes)]))
    openings = setup.game.openings.get(role, {}).values() if forced and trial.few else ()
    opened = [play_probe(experiment, policy, role, opening, episodes[:_OPENED]) for opening in openings]
    return trial._replace(opened=_valid(opened)) if opened else trial


def _valid(probes: Sequence[Probe]) -> tuple[int, int]:
    games = [game for probe in probes for game in probe.games]
    return sum(not game.result.flags.get("invalid", False) for game in games), len(games)


def warning(trial: Trial, game: Description, words: str, learns: bool) -> str | None:
    """Returns the sentence to say before a run; ``None``: there is nothing to say.

    Args:
        trial: What the model did.
        game: The game.
        words: Overrides of the run that choose task, game and players, quoted for a shell.
        learns: Whether the command learns.
    """
    if not trial.few:
        return None
    probe = f"python -m trainers.probe {words}".rstrip()
    warm = f"python -m trainers.sft {words}".rstrip() if demonstrates(game) else ""
    valid, games = trial.free
    sentence = f"assistant.model: {valid} of {games} trial games with its own messages were valid"
    if trial.opened is not None:
        sentence += f", and {trial.opened[0]} of {trial.opened[1]} after a forced opening"
    if not learns:
        sentence += ": this run will measure little but that"
    elif trial.opened is not None and trial.opened[0] >= _FEW * trial.opened[1]:
        sentence += ": learning can keep only what follows an opening"
    else:
        sentence += ": learning has nothing to keep"
    first = (
        f"first run {warm}, and start from its checkpoints/iteration-1" if warm else "choose another model or prompt"
    )
    return f"{sentence}; {first} ({probe} shows what it writes)"


def demonstrates(game: Description) -> bool:
    """Returns whether a game has demonstrations for a warm start."""
    return type(game).demonstrate is not Description.demonstrate
