"""Games of other packages: what is wrong in their descriptions is said in one sentence when they are asked for."""

import re
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from clarify_env.games import find_game
from clarify_env.games.clarification.description import Clarification
from clarify_env.games.declared import faults
from clarify_env.games.description import Description
from clarify_env.testing import check_game


@pytest.fixture
def game_point(tmp_path, monkeypatch):
    """Offers one game by entry point, of a given source."""

    def offer(source):
        (tmp_path / "plugin_game.py").write_text(source)
        points = EntryPoints([EntryPoint("theirs", "plugin_game:GAME", "clarify_env.games")])
        monkeypatch.setattr("clarify_env.games.entry_points", lambda group: points)
        monkeypatch.setattr("clarify_env.games._LOADED", {})
        monkeypatch.syspath_prepend(tmp_path)

    yield offer
    sys.modules.pop("plugin_game", None)


RULES = """
from clarify_env.games.base import Game
from clarify_env.games.description import Description

class Rules(Game):
    name, roles = "theirs", ("one", "two")

class GAME(Description):
    name, game = "theirs", Rules
"""
BROKEN_GAMES = [
    ("import sys; sys.exit(1)", "its entry point plugin_game:GAME cannot be loaded: SystemExit: 1", "it exits"),
    (RULES + "    def __init__(self): 1 / 0", "cannot be made: ZeroDivisionError: division by zero", "its constructor"),
    (RULES.replace("Rules\n", "None\n"), "game is None, not a subclass of Game", "no rules"),
    (RULES.replace('name, game = "theirs"', "name, game = 7"), "name is 7, not a text", "a name"),
    (RULES.replace('("one", "two")', '"one"'), "roles of Rules is 'one', not a tuple of different names", "roles"),
    (RULES + "    learns = ('judge',)", "learns names 'judge', which is none of its roles, one, two", "a learner"),
    (RULES + "    learns = ('one')", "learns is 'one', not a tuple of different names", "a text for a tuple"),
    (RULES + "    options = dict", "options is <class 'dict'>, not a dataclass", "options"),
    (RULES + "    usage = ('words', 'words')", "usage is .*, not a tuple of different names", "usage twice"),
]


@pytest.mark.parametrize(("source", "sentence", "why"), BROKEN_GAMES, ids=[why for *_, why in BROKEN_GAMES])
def test_a_broken_game_hinders_no_command_and_is_named(game_point, source, sentence, why):
    from configs import config_of

    from trainers.runs import command as commands

    game_point(source)
    commands.offer_plugins()
    assert config_of("rest").game.name == "clarification"
    with pytest.raises(ValueError, match=f"^game 'theirs': .*{sentence}") as error:
        find_game("theirs")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=f"^{re.escape(str(error.value))}$"):
        commands.COMMANDS["rest"].command_line().hydra_overrides(["game=theirs", "task=almanac"])


ODD = """
from dataclasses import dataclass, field
import numpy

@dataclass
class Options:
    weights: object = field(default_factory=lambda: numpy.ones(2))
    size: int = 3
    pattern: str = "${x}"
"""


def test_an_odd_default_of_a_games_option_hinders_no_command(game_point):
    from configs import config_of

    from trainers.runs import command as commands

    game_point(ODD + RULES + "    options = Options\n    usage, plane_options = ('words',), Options\n")
    commands.offer_plugins()
    assert config_of("rest").game.name == "clarification"
    config = config_of("rest", "game=theirs")
    assert config.game == {"name": "theirs", "size": 3} and config.costs == {"size": 3}


def test_a_good_game_is_found(game_point):
    game_point(RULES)
    assert isinstance(find_game("theirs"), Description)


@dataclass
class Unresolved:
    """Options whose hint names what is imported for type checkers alone."""

    size: "NotThere" = 3  # type: ignore[name-defined] # noqa: F821


DECLARED = [
    ({"learns": ("judge",)}, "learns names 'judge', which is none of its roles, assistant, user"),
    ({"blind": ("judge",)}, "blind names 'judge', which is none of its roles"),
    ({"priced": ("assistant", "judge")}, "priced names 'judge', which is none of its roles"),
    ({"openings": {"judge": {}}}, "openings names 'judge', which is none of its roles"),
    ({"players": {"judge": ("oracle",)}}, "players names 'judge', which is none of its roles"),
    ({"blind": "assistant"}, "blind is 'assistant', not a tuple of different names"),
    ({"usage": ("words", 2)}, "usage is .*, not a tuple of different names"),
    ({"actions": ()}, "actions is .*; it must name at least one"),
    ({"actions": ("clarify", "invalid")}, "actions is .*, and invalid is added by itself"),
    ({"default_style": "loud"}, "default_style is 'loud', which is none of styles"),
    ({"steering": {"ask": ("clarify", 2)}}, "steering.ask follows price 2, and usage names 2"),
    ({"plane_options": 3}, "plane_options is 3, not a dataclass"),
    ({"options": Unresolved}, "options: the type hints of Unresolved cannot be resolved: NameError: name 'NotThere'"),
    ({"hidden_name": "index"}, "hidden_name is 'index', which is another option of reset"),
    ({"game": object}, "game is <class 'object'>, not a subclass of Game"),
    ({"name": ""}, "name is '', not a text"),
]


@pytest.mark.parametrize(("attributes", "sentence"), DECLARED)
def test_each_declaration_is_checked(attributes, sentence):
    from toys import Toy

    wrong = type("Wrong", (Clarification,), {"name": "wrong"} | attributes)()
    with pytest.raises(AssertionError, match=f"^game {wrong.name}: {sentence}"):
        check_game(Toy(), wrong)
    assert list(faults(wrong)) and not list(faults(Clarification()))
