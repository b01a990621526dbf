"""The vocabulary of the `sql` task: the domains of its databases, and the wording of requests."""

from typing import NamedTuple


class Domain(NamedTuple):
    """A kind of database.

    Attributes:
        rows: The vague word for the rows of all its tables.
        tables: Names of the tables, which have the same columns.
        years: Columns of a year.
        sizes: Columns of a number, with the range of its values.
        places: Columns of a name of a place.
    """

    rows: str
    tables: tuple[str, ...]
    years: tuple[str, ...]
    sizes: dict[str, tuple[int, int]]
    places: tuple[str, ...]


DOMAINS = (
    Domain(
        "vessels",
        ("ferries", "tankers", "tugs"),
        ("launched", "refitted"),
        {"length": (20, 300), "tonnage": (100, 9000)},
        ("port", "yard"),
    ),
    Domain(
        "staff",
        ("doctors", "nurses", "porters"),
        ("born", "hired"),
        {"salary": (20, 95), "overtime": (1, 60)},
        ("ward", "home"),
    ),
    Domain(
        "items",
        ("atlases", "novels", "scores"),
        ("printed", "acquired"),
        {"pages": (40, 900), "price": (5, 400)},
        ("publisher", "branch"),
    ),
    Domain(
        "sites",
        ("farms", "mines", "mills"),
        ("founded", "enlarged"),
        {"area": (3, 700), "output": (10, 5000)},
        ("county", "market"),
    ),
    Domain(
        "members",
        ("rowers", "runners", "skiers"),
        ("enrolled", "promoted"),
        {"weight": (45, 110), "points": (1, 2000)},
        ("club", "birthplace"),
    ),
)

NAMES = """Abel Brandt Castell Dorn Eklund Farkas Gruber Holst Ivarsson Jensen Kovac Lindt Moreau Novak Orlov Petrov
Quist Rossi Sandoz Tamm Urban Vogel Weiss Ziegler""".split()
TOWNS = "Basel Bergen Cadiz Delft Ghent Graz Kiel Lund Lyon Parma Riga Siena Turku Utrecht Varna York".split()

# Vague words of requests, by kind of column: for a column, and for a filter.
VAGUE_COLUMN = {"years": "dates", "sizes": "figures", "places": "locations"}
VAGUE_FILTER = {"years": "recent", "sizes": "large"}
# Statistics: label, phrase in a clear request, SQL function.
MEASURES = (("sum", "total of", "sum"), ("mean", "average of", "avg"), ("maximum", "highest of", "max"))
