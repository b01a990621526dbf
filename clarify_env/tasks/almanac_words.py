"""The vocabulary of the `almanac` world: names, attributes, and the wording of its queries and answers."""

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

# All initials differ, and none is "A": "A Brandt" would score like "Brandt", which is a word shorter.
_GIVEN = """Quentin Boris Clara Dov Edith Felix Greta Hugo Ines Jonas Karin Leo Mira Nils Olga Piet Rosa Sven Tilda Uwe
Vera Willem Yara Zeno""".split()
_MIDDLE = "Anna Carl Dora Emil Jane Karl Lena Max Otto Ruth".split()
_FAMILY = """Abel Brandt Castell Dorn Eklund Farkas Gruber Holst Ivarsson Jensen Kovac Lindt Moreau Novak Orlov Petrov
Quist Rossi Sandoz Tamm Urban Vogel Weiss Ximenes Ziegler Bauer Conti Duval Engel Fischer Galli Haas Jansen Keller
Lorenz Meyer Nagy Olsen Perrin Ricci Sauer Toth Ulrich Varga Wagner Zeman Berg Costa Dahl Ferro""".split()
_DAYS = """Advent Candlemas Christmas Easter Epiphany Lammas Lent Martinmas Michaelmas Midsummer Pentecost Whitsun
January March April May June July August October November December""".split()
_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday".split()
_LOOKS = """black blue brown golden green pale red silver white yellow brass clay copper glass iron ivory marble oak
silk slate""".split()
_SIZES = "giant little narrow tall wide".split()
_FEATURES = """arches bells candles clocks doors ferns fountains gates lamps mirrors organs paintings roses sculptures
stairs tiles tulips vaults walls windows""".split()
_BODIES = "Bank Church Council Guild League Order Society Trust".split()
_TOWNS = "Basel Bergen Cadiz Delft Ghent Graz Kiel Lund Lyon Parma Riga Siena Turku Utrecht Varna York".split()


def _pool(pattern: str, *lists: list[str]) -> list[str]:
    """One phrase per word of the first list; the words of the other lists follow from its index."""
    return [
        pattern.format(*(words[(index * (1 + 2 * place)) % len(words)] for place, words in enumerate(lists)))
        for index in range(len(lists[0]))
    ]


_YEARS = [str(year) for year in range(1810, 2000, 10)]
# Each relation: wordings of the query, and pools of answers of 1, 2, 3 and 4 words; names share answers. Answers of the
# same length differ in their first word, so the first word identifies an answer.
RELATIONS: list[tuple[tuple[str, ...], tuple[list[str], ...]]] = [
    (
        ("Who designed {}?", "Who drew the plans of {}?"),
        (
            _pool("{}", _FAMILY),
            _pool("{} {}", _GIVEN, _FAMILY),
            _pool("{} {} {}", _GIVEN, _FAMILY[7:], _FAMILY),
            _pool("{} {} von {}", _GIVEN, _MIDDLE, _FAMILY),
        ),
    ),
    (
        ("When did {} open?", "On what date was {} opened?"),
        (
            _pool("{}", _DAYS),
            _pool("{} {}", _DAYS, _YEARS),
            _pool("{} {} {}", _DAYS, _WEEKDAYS, _YEARS),
            _pool("{} {} evening {}", _DAYS, _WEEKDAYS, _YEARS),
        ),
    ),
    (
        ("What is {} famous for?", "What do people come to {} to see?"),
        (
            _pool("{}", _FEATURES),
            _pool("{} {}", _LOOKS, _FEATURES),
            _pool("{} {} {}", _LOOKS, _SIZES, _FEATURES),
            _pool("{} and {} {}", _LOOKS, _LOOKS[::-1], _FEATURES),
        ),
    ),
    (
        ("Who paid for {}?", "Who put up the money for {}?"),
        (
            _pool("{}", _FAMILY),
            _pool("{} {}", _FAMILY[:24], _BODIES),
            _pool("{} {} {}", _TOWNS, _FAMILY, _BODIES),
            _pool("{} {} of {}", _FAMILY[:24], _BODIES, _TOWNS),
        ),
    ),
]


def aliases(answer: str) -> tuple[str, ...]:
    """Other spellings of an answer, with the same number of words."""
    first_name, *rest = answer.split()
    return (" ".join([first_name[0], *rest]),) if rest and first_name in _GIVEN else ()
