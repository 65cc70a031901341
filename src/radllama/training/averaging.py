"""A running average of the weights: steadier than the last step's, and what validation and drafting see."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class WeightAverage:
    """Exponential moving average of a network's trainable weights (Polyak averaging), in float32.

    The decay starts low and rises to its value, so that the average soon forgets the random start.
    """

    def __init__(self, network: Any, decay: float) -> None:
        self._decay = decay
        self.weights = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}

    def update(self, network: Any, step: int) -> None:
        """Take in the weights after a step (counted from 1)."""
        decay = min(self._decay, step / (step + 10))
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                self.weights[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def applied(self, network: Any) -> Iterator[None]:
        """Let the network compute with the average, and put its own weights back afterwards."""
        own = {name: p.data for name, p in network.named_parameters() if p.requires_grad}
        _put(network, self.weights)
        try:
            yield
        finally:
            _put(network, own)


def _put(network: Any, weights: dict[str, Any]) -> None:
    for name, parameter in network.named_parameters():
        if name in weights:
            parameter.data = weights[name]
