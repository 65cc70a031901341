"""Answers on a scale of steps that come from a judgement without steps: rounded, and held at the ends of the scale."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from radllama.stats import Array


def to_steps(judgements: Array, low: int, high: int) -> Array:
    """The step that each judgement is nearest to."""
    steps: Array = np.clip(np.rint(judgements), low, high)
    return steps


def expected_step(mean: ArrayLike, sd: float, steps: Sequence[float]) -> Array:
    """The mean answer where judgements are normal about `mean`: less than `mean` near the top, more near the bottom."""
    from scipy.special import ndtr

    centres = np.asarray(mean, dtype=np.float64)
    cuts = (np.asarray(steps[:-1], dtype=np.float64) + np.asarray(steps[1:], dtype=np.float64)) / 2
    # Every cut that is passed adds a step.
    passed = ndtr((centres[..., None] - cuts) / sd)
    answers: Array = steps[0] + (passed * np.diff(np.asarray(steps, dtype=np.float64))).sum(axis=-1)
    return answers
