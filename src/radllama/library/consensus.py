"""What the nearest prior reports agree on."""

from collections.abc import Sequence

from radllama.library.library import Neighbour
from radllama.vote import choose

NEIGHBOURS = 30
# Of 2, 4, 6 and 8 the best on train reports left out of their own library: below it the many that resemble the
# findings a little outvote the few that are alike.
_POWER = 4


def weigh(neighbours: Sequence[Neighbour]) -> list[float]:
    """How much each counts in a vote: its resemblance to the fourth power."""
    return [neighbour.score**_POWER for neighbour in neighbours]


def consensus(neighbours: Sequence[Neighbour]) -> str:
    """Of the neighbours' impressions, the one most like all of them, weighed; empty where there are none."""
    if not neighbours:
        return ""
    impressions = [neighbour.impression for neighbour in neighbours]
    return impressions[choose(impressions, impressions, weigh(neighbours))]
