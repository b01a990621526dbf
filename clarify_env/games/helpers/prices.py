"""The price of a call: where it is drawn from, and the sets of prices of an evaluation."""

from dataclasses import dataclass

from clarify_env.games.pandora.prices import LookPlane
from clarify_env.options import option


@dataclass(frozen=True)
class CallPlane(LookPlane):
    """The prices of an experiment (``costs.*``).

    Training prices are the multiples of ``step`` from the lowest to the highest price. *Between* prices are spaced by
    ratio inside that range; training prices in a band around each of them are removed. *Beyond* prices are 1.2 to 1.6
    times the highest trained price. Of two equal prices, there is one price alone, which is never varied (as in arXiv
    2503.14481).
    """

    price: tuple[float, float] = option((0.05, 0.60))
    """Lowest and highest trained price of a call, in units of reward; at least 0."""
    step: float = option(0.01, above=0)
    """Trained prices are whole multiples of this."""
    band: float = option(0.05, least=0)
    """Trained prices within this ratio minus 1 of a held-out price are left out; at least 0."""
