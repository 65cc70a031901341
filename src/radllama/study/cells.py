"""From a study to its cells: for every product of levels and seeds, what is trained on what, and what is drafted how.

What is the same is done once: a training is named by a hash of its recipe, base and reports, a cell by one of its model
and drafting. Two variants, two seeds or two studies that ask for the same thing share its folder.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.recipe import Recipe, read_recipe
from radllama.study.data import Selection, Source
from radllama.study.design import Drafting, FirstTraining, Settings, Study

_HASH = 10


@dataclass(frozen=True, slots=True)
class Training:
    """A model to be trained; the base that `recipe` names is `base` when the study trains that too."""

    recipe: Recipe
    selection: Selection
    base: "Training | None" = None

    @property
    def name(self) -> str:
        """The name of its folder: the same for the same recipe, base and reports."""
        recipe = self.recipe.model_dump(mode="json")
        recipe["base"] = self.base.name if self.base else self.recipe.base
        return f"{'scratch' if self.recipe.scratch else self.recipe.tuning}-{_digest(recipe, self.selection.facts())}"

    @property
    def passes(self) -> int:
        """How often an example goes through the network: what its time is about in proportion to."""
        reports = self.selection.reports or sum(source.reports["train"] for source in self.selection.sources)
        kept = reports * (1 - self.selection.missing) * (1 + self.recipe.augment.copies)
        return round(kept * self.recipe.epochs)


@dataclass(frozen=True, slots=True)
class Cell:
    """One draft-and-evaluate run: `model` is a training, or the name of a model that drafts as it is.

    `selection` are the training reports that drafting or scoring looks at (the trivial rows come from them).
    """

    levels: tuple[str, ...]
    seed: int
    model: Training | str
    selection: Selection
    drafts_of: Source
    drafting: Drafting

    @property
    def name(self) -> str:
        """The name of its folder: the same for the same drafts."""
        facts = {
            "model": self.model.name if isinstance(self.model, Training) else self.model,
            "selection": self.selection.facts(),
            "valid": self.drafts_of.sha256["valid"],
            "drafting": self.drafting.model_dump(mode="json"),
        }
        return f"{self.drafts_of.name}-{_digest(facts)}"


def make_cells(study: Study, sources: Mapping[str, Source]) -> list[Cell]:
    """Every product of levels and seeds, in order. Raises one InputError for recipes that are wrong, naming all."""
    first = _train_first(study, sources) if isinstance(study.base, FirstTraining) else None
    cells: list[Cell] = []
    problems: dict[str, None] = {}
    for levels in product(*study.axes.values()):
        settings = study.settings
        for axis, level in zip(study.axes.values(), levels, strict=True):
            settings = settings.under(axis[level])
        for seed in study.seeds:
            try:
                cells.append(_make_cell(levels, seed, settings, first or str(study.base), sources))
            except InputError as error:
                problems[f"{' '.join(levels)}: {error}"] = None
    if problems:
        raise InputError("; ".join(problems))
    return cells


def jobs_of(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells by the name of the model that drafts them, each cell once: what one process does."""
    jobs: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        jobs.setdefault(model_name(cell), {}).setdefault(cell.name, cell)
    return {name: list(inner.values()) for name, inner in jobs.items()}


def model_name(cell: Cell) -> str:
    """The name of the training, or of the model as it is."""
    return cell.model.name if isinstance(cell.model, Training) else cell.model


def trainings_of(cells: Sequence[Cell]) -> list[Training]:
    """Every training once, what others stand on before them."""
    found: dict[str, Training] = {}
    for cell in cells:
        if isinstance(cell.model, Training):
            for training in _line_of(cell.model):
                found.setdefault(training.name, training)
    return sorted(found.values(), key=lambda one: sum(1 for _ in _line_of(one)))


def _line_of(training: Training) -> Iterator[Training]:
    if training.base:
        yield from _line_of(training.base)
    yield training


def _train_first(study: Study, sources: Mapping[str, Source]) -> Training:
    assert isinstance(study.base, FirstTraining)
    selection = Selection(tuple(sources[name] for name in study.base.train_on))
    return Training(read_recipe(Path(study.base.recipe)), selection)


def _make_cell(
    levels: tuple[str, ...], seed: int, settings: Settings, base: Training | str, sources: Mapping[str, Source]
) -> Cell:
    assert settings.recipe and settings.train_on and settings.draft_of  # a study without them is refused
    if settings.base is not None:
        base = settings.base
    reports = settings.reports if isinstance(settings.reports, int) else None
    trained_on = tuple(sources[name] for name in settings.train_on)
    selection = Selection(trained_on, reports, settings.wrong or 0.0, settings.missing or 0.0, seed)
    drafting = Drafting.model_validate(settings.draft)
    model = base
    if settings.tune is not False:
        named = base if isinstance(base, str) else base.name
        asked = [f"{key}={json.dumps(value)}" for key, value in settings.set.items()]
        recipe = read_recipe(Path(settings.recipe), [*asked, f"base={json.dumps(named)}", f"seed={seed}"])
        model = Training(recipe, selection, base if isinstance(base, Training) else None)
    elif not (drafting.shots or drafting.library):
        selection = Selection(trained_on)  # what was not looked at does not tell two cells apart
    return Cell(levels, seed, model, selection, sources[settings.draft_of], drafting)


def _digest(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:_HASH]
