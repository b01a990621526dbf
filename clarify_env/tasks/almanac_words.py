"""The vocabulary of the `almanac` world: names, attributes, and the wording of its questions and answers."""

from collections.abc import Callable

import numpy as np

_HEADS = """Ash Bram Carl Dun Elm Fair Glen Hart Kel Lang Mar Nor Oak Pem Rad Sal Thorn Wal Whit Wood Brack Crom Dray
Ever Fen Gar Hal Ing Kirk Lin Mel Nether Orm Pad Rush Stan Tar Ul Ven Wig""".split()
_TAILS = "bury ford ley mere ton wick worth field dale stead holm gate by ham combe den".split()
NAMES = [head + tail for head in _HEADS for tail in _TAILS]

VALUES = {
    "kind": """film opera hotel museum bridge theatre garden school tower library ballet station market musical chapel
        stadium""".split(),
    "era": "Tudor Stuart Georgian Regency Victorian Edwardian interwar wartime postwar modern Roman medieval".split(),
    "place": """Ireland Norway Poland Canada Chile Kenya Japan Malta Peru Spain Turkey Vietnam Wales Ghana Cuba
        Nepal""".split(),
}
CUES = {
    "kind": ("kind", "type", "sort"),
    "era": ("era", "period", "age", "when"),
    "place": ("place", "country", "where"),
}

# No two share an initial, and none has "A": "A Brandt" would score like "Brandt", a word cheaper.
_GIVEN = """Quentin Boris Clara Dov Edith Felix Greta Hugo Ines Jonas Karin Leo Mira Nils Olga Piet Rosa Sven Tilda Uwe
Vera Willem Yara Zeno""".split()
_MIDDLE = "Anna Carl Dora Emil Jane Karl Lena Max Otto Ruth".split()
_FAMILY = """Abel Brandt Castell Dorn Eklund Farkas Gruber Holst Ivarsson Jensen Kovac Lindt Moreau Novak Orlov Petrov
Quist Rossi Sandoz Tamm Urban Vogel Weiss Ximenes Ziegler Bauer Conti Duval Engel Fischer Galli Haas Jansen Keller
Lorenz Meyer Nagy Olsen Perrin Ricci Sauer Toth Ulrich Varga Wagner Zeman Berg Costa Dahl Ferro""".split()
_MONTHS = "January March April May June July August October November".split()
_COLOURS = "black blue brown golden green pale red silver white yellow".split()
_MATERIALS = "brass clay copper glass iron ivory marble oak silk slate".split()
_FEATURES = """arches bells candles clocks doors ferns fountains gates lamps mirrors organs paintings roses sculptures
stairs tiles tulips vaults walls windows""".split()
_BODIES = "Bank Church Council Guild League Order Society Trust".split()
_TOWNS = "Basel Bergen Cadiz Delft Ghent Graz Kiel Lund Lyon Parma Riga Siena Turku Utrecht Varna York".split()


def _person(length: int, rng: np.random.Generator) -> str:
    family = _pick(_FAMILY, rng)
    given, middle = _pick(_GIVEN, rng), _pick(_MIDDLE, rng)
    return " ".join([family] if length == 1 else [given, *[middle, "von"][: length - 2], family])


def _date(length: int, rng: np.random.Generator) -> str:
    year, month, day = 10 * int(rng.integers(180, 200)), _pick(_MONTHS, rng), int(rng.integers(1, 10))
    return [str(year), f"{month} {year}", f"{day} {month} {year}", f"late on {month} {day}"][length - 1]


def _feature(length: int, rng: np.random.Generator) -> str:
    colour, material, feature = _pick(_COLOURS, rng), _pick(_MATERIALS, rng), _pick(_FEATURES, rng)
    size = _pick(["giant", "tiny", "tall"], rng)
    return " ".join([size, colour, material, feature][4 - length :])


def _payer(length: int, rng: np.random.Generator) -> str:
    body, town, family = _pick(_BODIES, rng), _pick(_TOWNS, rng), _pick(_FAMILY, rng)
    return [family, f"{family} {body}", f"{body} of {town}", f"{family} {body} of {town}"][length - 1]


def _pick(pool: list[str], rng: np.random.Generator) -> str:
    return pool[int(rng.integers(len(pool)))]


# Each relation: the ways to ask about it, and how its answers of 1 to 4 words are drawn.
RELATIONS: list[tuple[tuple[str, ...], Callable[[int, np.random.Generator], str]]] = [
    (("Who designed {}?", "Who drew the plans of {}?"), _person),
    (("When did {} open?", "On what date was {} opened?"), _date),
    (("What is {} famous for?", "What do people come to {} to see?"), _feature),
    (("Who paid for {}?", "Who put up the money for {}?"), _payer),
]


def aliases(answer: str) -> tuple[str, ...]:
    """Other spellings of an answer, of as many words."""
    given, *rest = answer.split()
    return (" ".join([given[0], *rest]),) if rest and given in _GIVEN else ()
