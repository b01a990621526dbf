"""A task small enough to check by hand."""

from clarify_env.tasks.base import Episode, Interpretation, Task

ASHFORD = Episode(
    "train/0",
    "Who designed Ashford?",
    "",
    (
        Interpretation(
            "film",
            "Who designed Ashford, the modern film,?",
            ("Ada Brandt", "Brandt"),
            0.5,
            (("kind", "film"), ("era", "modern")),
        ),
        Interpretation(
            "opera",
            "Who designed Ashford, the modern opera,?",
            ("Jon Vale",),
            0.3,
            (("kind", "opera"), ("era", "modern")),
        ),
        Interpretation(
            "bridge",
            "Who designed Ashford, the Tudor bridge,?",
            ("The Bank of Lund",),
            0.2,
            (("kind", "bridge"), ("era", "Tudor")),
        ),
    ),
    {"entity": "Ashford"},
)
DUNLEY = Episode(
    "test/0",
    "When did Dunley open?",
    "Dunley was in the news.",
    (Interpretation("museum", "When did Dunley, the museum, open?", ("May 1901",), 1.0, (("kind", "museum"),)),),
    {"entity": "Dunley"},
)


class Toy(Task):
    """One question with three readings to train on, one with a single reading to test on."""

    name = "toy"
    sizes = {"train": 1, "test": 1}
    attributes = {"kind": ("kind", "type"), "era": ("era", "when")}

    def _episode(self, split: str, index: int) -> Episode:
        return {"train": ASHFORD, "test": DUNLEY}[split]
