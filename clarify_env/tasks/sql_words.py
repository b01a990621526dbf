"""The vocabulary of the `sql` task: what its databases are about, and how requests speak of it."""

from typing import NamedTuple


class Domain(NamedTuple):
    """A kind of database.

    Attributes:
        rows: The vague word for what all of its tables hold.
        tables: The tables, alike in their columns.
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

# How a request leaves open which column of a kind is meant, and which rows.
VAGUE_COLUMN = {"years": "dates", "sizes": "figures", "places": "locations"}
VAGUE_FILTER = {"years": "recent", "sizes": "large"}
# Statistics: the label, what a clear request calls it, and the function.
MEASURES = (("sum", "total of", "sum"), ("mean", "average of", "avg"), ("maximum", "highest of", "max"))
