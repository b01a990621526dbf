"""The vocabulary of the `archives` world: two corpora about the almanac's names, and the wording of their facts."""

from typing import NamedTuple

from clarify_env.tasks.almanac_words import RELATIONS

_PEOPLE, _DATES, _FEATURES, _SPONSORS = (pools for _, pools in RELATIONS)


class Relation(NamedTuple):
    """A relation of things of some kinds.

    Attributes:
        asks: Wordings of the question.
        states: Wording of the fact.
        pools: Answers of 1, 2, 3 and 4 words.
        telling: Index of the word of a two-word answer that is no whole answer of one word: a given name, a year, a
            look, or the kind of a body.
    """

    asks: tuple[str, ...]
    states: str
    pools: tuple[list[str], ...]
    telling: int


class Group(NamedTuple):
    """Kinds of things that have the same relations."""

    kinds: tuple[str, ...]
    relations: tuple[Relation, ...]


_DIRECTED = Relation(("Who directed {}?", "Whose direction was {}?"), "{} was directed by {}.", _PEOPLE, 0)
_FAMOUS = Relation(("What is {} famous for?", "What makes {} famous?"), "{} is famous for its {}.", _FEATURES, 0)
_PAID = Relation(("Who paid for {}?", "Who put up the money for {}?"), "The money for {} came from {}.", _SPONSORS, -1)
_PAINTED = Relation(("Who made {}?", "Which artist made {}?"), "{} was made by {}.", _PEOPLE, 0)
_DESIGNED = Relation(("Who designed {}?", "Who drew the plans of {}?"), "{} was designed by {}.", _PEOPLE, 0)
_OPENED = Relation(("When did {} open?", "On what date was {} opened?"), "{} opened on {}.", _DATES, -1)
_FOUND = Relation(("Who discovered {}?", "Who was first to see {}?"), "{} was discovered by {}.", _PEOPLE, 0)
_SEEN = Relation(("When was {} discovered?", "On what date was {} first seen?"), "{} was first seen on {}.", _DATES, -1)

# What the passages of each corpus are about, and the kinds of things in it.
CORPORA = {
    "works of art, stage and film": (
        Group(("film", "opera", "ballet", "musical"), (_DIRECTED, _PAID)),
        Group(("painting", "statue"), (_PAINTED, _FAMOUS, _PAID)),
    ),
    "places and science": (
        Group(("bridge", "museum", "hotel", "garden", "tower", "library"), (_DESIGNED, _OPENED, _FAMOUS)),
        Group(("comet", "fossil", "crater"), (_FOUND, _SEEN)),
    ),
}
