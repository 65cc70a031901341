"""Simulated raters of known bias and noise: to rehearse a study, and to see that the analysis finds what was put in.

A rater's judgement of a draft is its merit, on the scale of the answers, and what the rater adds: a bias that is always
the same, a taste that stays with the draft when it comes again, and a noise that does not. The answer is the step next
to it. Nothing here stands for radiologists: it is arithmetic with known results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from radllama.review.latent import expected_step, to_steps
from radllama.review.ratings import Question
from radllama.stats import Array

# How good a draft must be for each answer but the worst, from the best on; other choices are cut evenly.
_CUTS = {"harm": (2.5, 1.5), "signing": (4.0, 2.5)}


@dataclass(frozen=True, slots=True)
class Panel:
    """Raters by their `biases`. `leanings` {question: shift} says what all of them rate higher or lower than merit."""

    biases: tuple[float, ...]
    taste_sd: float = 0.3
    noise_sd: float = 0.5
    leanings: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def judge(
        self, questions: Sequence[Question], merit: float, rater: int, report: int, system: int, repeat: int = 0
    ) -> dict[str, int | str]:
        """The answers to `questions` about one draft; the same whenever asked with the same places."""
        own = self._added(rater, report, system, repeat)
        return {
            question.name: self._answer(question, merit + own[at] + self.leanings.get(question.name, 0.0))
            for at, question in enumerate(questions)
        }

    def prefers(self, merit: float, rater: int, report: int, system: int, repeat: int = 0) -> float:
        """What drafts of a page are ranked by: more is better."""
        return merit + float(self._added(rater, report, system, repeat)[-1])

    def count_errors(self, merit: float, rater: int, report: int, system: int, repeat: int = 0) -> int:
        """How many errors the rater marks: on average one for every two steps below the top of the scale."""
        random = np.random.default_rng((self.seed, rater, report, system, repeat, 2))
        return int(random.poisson(max(5 - merit - self.biases[rater], 0) / 2))

    def _added(self, rater: int, report: int, system: int, repeat: int) -> Array:
        """What the rater adds to merit at each question of at most 63, and for preference."""
        taste = np.random.default_rng((self.seed, rater, report, system, 0, 0)).normal(0, self.taste_sd, 64)
        noise = np.random.default_rng((self.seed, rater, report, system, repeat, 1)).normal(0, self.noise_sd, 64)
        added: Array = self.biases[rater] + taste + noise
        return added

    def _answer(self, question: Question, judgement: float) -> int | str:
        if question.kind == "scale":
            steps = [int(value) for value in question.values]
            return int(to_steps(np.array(judgement), steps[0], steps[-1]))
        ordered: tuple[int | str, ...] = question.values[::-1] if question.higher_is_better else question.values
        cuts = _CUTS.get(question.name, tuple(np.linspace(4, 2, len(ordered) - 1)))
        return ordered[sum(bool(judgement < cut) for cut in cuts)]

    def expected(self, question: Question, merit: Array) -> Array:
        """The mean answer on a scale, over chance, of drafts (reports, systems) by each rater: (..., raters)."""
        centres = merit[..., None] + np.array(self.biases) + self.leanings.get(question.name, 0.0)
        return expected_step(
            centres, float(np.hypot(self.taste_sd, self.noise_sd)), [float(v) for v in question.values]
        )
