"""The vocabulary of the `ledger` tables: firms, measures, units, and the wording of queries about them."""

FIRMS = """Aldous Barlow Caxton Dravid Ellery Forsell Gantry Hobday Ibsen Jarvis Keswick Lomond Mercer Norden Ockham
Pascoe Quayle Rutland Selwyn Tolland Upjohn Verity Wexler Yardley""".split()
REGIONS = "Europe Asia Africa Oceania Canada Brazil India Japan Mexico Egypt".split()

# Measures and units by the number of words of an answer, including its number.
MEASURES: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {
    1: (("staff", "stores", "orders", "clients"), ("",)),
    2: (("output", "freight", "waste", "storage"), ("tonnes", "litres", "pallets")),
    3: (("revenue", "profit", "debt", "tax"), ("million euros", "million pounds", "million yen")),
    4: (("revenue", "profit", "debt", "tax"), ("million US dollars", "million Swiss francs", "million Danish kroner")),
}
COUNTED = MEASURES[1][0]  # "how many", not "how much"
# The first one is the likelier, if the weights differ.
KINDS = {1: ("domestic", "foreign"), 2: ("domestic", "foreign"), 3: ("net", "gross"), 4: ("net", "gross")}

# Wordings of queries: for a figure of the table, or for one derived from two years of a row.
ASKED = {
    "cell": ("How {much} {what}{where}{when}{unit}?", "State {what}{where}{when}{unit}."),
    "difference": ("By how much did {what}{where} rise from {first} to {last}{unit}?",),
    "sum": ("How {much} {what}{where} in {first} and {last} together{unit}?",),
    "percentage": ("By what percentage did {what}{where} rise from {first} to {last}{unit}?",),
}
DERIVED = ("difference", "sum", "percentage")
PERCENT = "percent"

# How derived figures are worked out, from the figures before and after.
WORKING = {
    "difference": "{after} - {before} = {rise}",
    "sum": "{before} + {after} = {sum}",
    "percentage": "{after} - {before} = {rise}, {rise} / {before} = {percent}",
}


def working(what: str, before: int, after: int) -> str:
    """Writes how a derived figure is worked out; ``what`` is one of `DERIVED`."""
    rise = after - before
    return WORKING[what].format(before=before, after=after, rise=rise, sum=before + after, percent=100 * rise // before)


CUES = {
    "year": ("year", "when", "period"),
    "region": ("region", "where", "country"),
    "kind": ("kind", "type", "sort"),
    "unit": ("unit", "currency"),
}
