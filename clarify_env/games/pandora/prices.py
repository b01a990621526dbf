"""The price of a look."""

from dataclasses import dataclass

from clarify_env.one_price import OnePricePlane
from clarify_env.options import option


@dataclass(frozen=True)
class LookPlane(OnePricePlane):
    """The prices of an experiment (``costs.*``); see `OnePricePlane`."""

    # Committing is the oracle's first action on 40 % of episodes and prices, and no fixed strategy earns 90 %.
    price: tuple[float, float] = option((0.10, 0.60))
    """Lowest and highest trained price of a look, in units of reward; at least 0."""
