"""The answers of a study as arrays: one cube (reports, systems, raters) a question, NaN where there is no answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radllama.errors import InputError
from radllama.review.agreement.answers import Answers
from radllama.review.ratings import ErrorMark, Export, Question, Ranking, Rating, Remark, Study
from radllama.stats import Array

BEST = "best"


@dataclass(frozen=True, slots=True)
class Cube:
    """A question's answers. `first` and `again` (reports, systems, raters): when a report was new, and when repeated.

    An answer on a scale is its number, a choice its place among the question's values, from 0.
    """

    question: Question
    first: Array
    again: Array

    @property
    def scale(self) -> tuple[float, ...]:
        """The numbers that answers can be."""
        if self.question.kind == "scale":
            return tuple(float(value) for value in self.question.values)
        return tuple(float(place) for place in range(len(self.question.values)))

    @property
    def best(self) -> float:
        """The best of them."""
        return self.scale[-1 if self.question.higher_is_better else 0]

    def outcome(self) -> Array:
        """What systems are compared by: a scale's number, or of a choice 1 for the best value and 0 for any other."""
        if self.question.kind == "scale":
            return self.first
        return np.where(np.isnan(self.first), np.nan, self.first == self.best)

    def between_raters(self) -> Answers:
        """Every draft an item, its raters beside each other."""
        reports, systems, raters = self.first.shape
        return Answers(self.first.reshape(reports * systems, raters), np.repeat(np.arange(reports), systems))

    def within_raters(self) -> Answers:
        """Every draft that a rater saw twice an item, the first answer beside the second."""
        twice = ~np.isnan(self.first) & ~np.isnan(self.again)
        return Answers(np.column_stack([self.first[twice], self.again[twice]]), np.nonzero(twice)[0])


@dataclass(frozen=True, slots=True)
class Frame:
    """A closed study, ready to be counted. What was left out, and why, stands in `left_out`.

    `judged` (reports, systems, raters) says whose draft was judged by whom when it was new. The rows are those of the
    first time alone.
    """

    study: Study
    reports: tuple[str, ...]
    cubes: dict[str, Cube]
    judged: NDArray[np.bool_]
    errors: list[ErrorMark]
    rankings: list[Ranking]
    remarks: list[Remark]
    left_out: dict[str, int]

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems, in the study's order."""
        return self.study.systems

    def place(self, report: str, system: str) -> tuple[int, int]:
        """Where a draft stands in a cube."""
        return self.reports.index(report), self.systems.index(system)


def read_frame(export: Export) -> Frame:
    """Sort the answers of a study. Raises InputError where nobody answered anything or a row names who is not in it.

    Answers of a page that the rater skipped do not count, nor those to questions that the last form does not ask.
    """
    study = export.study
    reports = tuple(dict.fromkeys(candidate.report for candidate in export.candidates))
    places = tuple({name: at for at, name in enumerate(names)} for names in (reports, study.systems, study.raters))
    skipped = {(visit.rater, visit.report, visit.repeat) for visit in export.visits if visit.state == "skipped"}
    left_out: Counter[str] = Counter()

    def at(row: Rating | ErrorMark | Remark) -> tuple[int, int, int]:
        try:
            report, system, rater = (
                of[name] for of, name in zip(places, (row.report, row.system, row.rater), strict=True)
            )
        except KeyError:
            raise InputError(
                f"study {study.name!r}: an answer is about a report, system or rater that the study does not have; "
                "export it again with `radllama review export`"
            ) from None
        return report, system, rater

    shape = tuple(map(len, places))
    cubes = {
        question.name: Cube(question, np.full(shape, np.nan), np.full(shape, np.nan)) for question in study.questions
    }
    judged = np.zeros(shape, dtype=bool)
    for rating in export.ratings:
        if (rating.rater, rating.report, rating.repeat) in skipped:
            left_out["answers on skipped pages"] += 1
            continue
        cube = cubes.get(rating.question)
        if cube is None or rating.value not in cube.question.values:
            left_out["answers to an older form that asked otherwise"] += 1
            continue
        number = cube.scale[cube.question.values.index(rating.value)]
        (cube.again if rating.repeat else cube.first)[at(rating)] = number
        if not rating.repeat:
            judged[at(rating)] = True
    if not judged.any():
        raise InputError(f"study {study.name!r}: nobody has answered anything in it, so there is nothing to analyse")

    def counted(row: ErrorMark | Remark | Ranking) -> bool:
        return not row.repeat and (row.rater, row.report, 0) not in skipped

    errors = [row for row in export.errors if counted(row)]
    remarks = [row for row in export.remarks if counted(row)]
    for error in errors:
        judged[at(error)] = True
    for remark in remarks:
        judged[at(remark)] = True
    return Frame(
        study, reports, cubes, judged, errors, [row for row in export.rankings if counted(row)], remarks, dict(left_out)
    )
