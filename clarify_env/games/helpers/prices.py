"""The price of a call."""

from dataclasses import dataclass

from clarify_env.one_price import OnePricePlane
from clarify_env.options import option


@dataclass(frozen=True)
class CallPlane(OnePricePlane):
    """The prices of an experiment (``costs.*``); see `OnePricePlane`. One price alone is as in arXiv 2503.14481."""

    price: tuple[float, float] = option((0.05, 0.60))
    """Lowest and highest trained price of a call, in units of reward; at least 0."""
