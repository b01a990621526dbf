"""What each role of the game knows from the start."""

from typing import NamedTuple

ASKER = "asker"
HELPERS = ("helper_0", "helper_1")
# The tool of each helper.
ARCHIVES = ("archive_0", "archive_1")
# Names under which the asker hears the helpers.
LABELS = ("A", "B")


class AskerFacts(NamedTuple):
    """Facts of the asker.

    Attributes:
        query: The question.
        archives: What the archive of each helper is about, where the asker knows who is who; else empty.
        wording: Option `HelpersOptions.wording`.
        alone: Whether there are no helpers.
        episode_id: For scripted players; no prompt states it.
    """

    query: str
    archives: tuple[str, ...]
    wording: str
    alone: bool
    episode_id: str


class HelperFacts(NamedTuple):
    """Facts of a helper.

    Attributes:
        archive: What its archive is about.
        prices: Price of a call.
        wording: Option `HelpersOptions.wording`.
        calls: Most calls of the helper.
        results: Most passages that a call returns.
        query: The question, where it plays alone; else empty, and it hears what the asker writes.
        episode_id: For scripted players; no prompt states it.
    """

    archive: str
    prices: tuple[float, ...]
    wording: str
    calls: int
    results: int
    query: str
    episode_id: str


class ToolFacts(NamedTuple):
    """Facts of an archive: how many passages a call returns at most."""

    results: int
