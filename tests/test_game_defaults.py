"""What a game chooses for commands: its task, its costs, and what it changes of a method."""

import pytest
from configs import arguments_of, config_of

from clarify_env.games import find_game
from trainers.runs.overrides import CommandLine
from trainers.runs.schema import default_choices, task_of

CHOICES = [
    ([], "clarification", "almanac"),
    (["game=pandora"], "pandora", "boxes"),
    (["game=pandora", "task=almanac"], "pandora", "almanac"),
    (["task=ledger"], "clarification", "ledger"),
]


@pytest.mark.parametrize(("overrides", "game", "task"), CHOICES)
def test_a_game_names_its_task(overrides, game, task):
    config = config_of("rest", *overrides)
    assert (config.game.name, config.task.name) == (game, task)
    line = CommandLine("rest", {})
    line.hydra_overrides(overrides)
    assert line.choices["task"] == [task], "options are read by the types of this task"


def test_a_game_of_another_package_is_played_on_almanac_unless_it_names_a_task():
    assert task_of("no_such_game") == "almanac" and default_choices("rest")["task"] == "almanac"


OPENINGS = {
    "clarification": ["clarify", "answer", "multi_answer"],
    "pandora": ["look", "commit"],
    "interview": ["ask", "answer"],
    "ping": ["end"],
    "helpers": ["search", "assert", "hedge"],
}


@pytest.mark.parametrize("command", ["rest", "contrastive", "rwsft"])
@pytest.mark.parametrize("game", OPENINGS)
def test_every_method_that_forces_openings_forces_those_of_the_game(command, game):
    actions = list(config_of(command, f"game={game}").rollouts.actions)
    assert actions == OPENINGS[game] and set(actions) <= set(find_game(game).actions)


def test_what_a_game_changes_of_a_method():
    quick = config_of("rest", "game=pandora", "size=quick")
    assert quick.budget.games < config_of("rest", "game=pandora").budget.games, "a size changes it again"


def test_options_of_the_task_are_known_on_the_command_line():
    arguments = arguments_of("rest", "game=pandora", "task.boxes=4", "assistant=hf", "assistant.model=OWNER/NAME")
    assert arguments["experiment"].task.boxes == 4 and arguments["experiment"].learns == ("searcher",)
    with pytest.raises(ValueError, match=r"task\.boxses"):
        CommandLine("rest", {}).hydra_overrides(["game=pandora", "task.boxses=4"])
