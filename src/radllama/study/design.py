"""What a study asks: one YAML file that names its datasets, its base, and what is varied, checked as a whole."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from radllama.errors import InputError
from radllama.evaluation.measures import MEASURES
from radllama.recipe import read_settings, tell_mistakes


class _Section(BaseModel):
    # A level called 100 in YAML is a number; names are text.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Hospital(_Section):
    """A dataset that the study makes itself: the sample hospital's generated reports, split at random by patient."""

    reports: int = Field(ge=20)
    seed: int = 0


class FirstTraining(_Section):
    """A base that the study trains itself, once for all cells."""

    recipe: str
    train_on: list[str] = Field(min_length=1)


class Drafting(_Section):
    """How the development reports are drafted: greedily by default. See docs/rivals.md for what is not ours."""

    template: str | None = Field(None, description="chat, paper, plain; for models that were not tuned here")
    shots: int = Field(0, ge=0, description="nearest training reports shown as examples")
    library: bool = Field(False, description="training reports and samples of the model vote (docs/library.md)")
    engine: Literal["transformers", "ctranslate2", "ctranslate2-int8"] = "transformers"
    max_new_tokens: int = Field(128, ge=1)
    tidy: bool = True
    base_url: str | None = Field(None, description="an endpoint that serves the base")
    key_variable: str = "OPENAI_API_KEY"
    request: dict[str, Any] = Field(default_factory=dict, description="further fields of its requests")

    @property
    def asks_a_rival(self) -> bool:
        """Whether the model is asked as any other, not in the prompt that it was tuned with."""
        return bool(self.template or self.shots or self.base_url)


class Settings(_Section):
    """Some settings of a cell; those of its levels replace the study's, the later axis the earlier."""

    base: str | None = None
    recipe: str | None = None
    set: dict[str, Any] = Field(default_factory=dict, description="settings of the recipe: {lora.rank: 4}")
    tune: bool | None = Field(None, description="false: the base drafts as it is")
    train_on: list[str] | None = Field(None, min_length=1, description="datasets whose train parts are taken")
    reports: int | Literal["all"] | None = Field(None, description="how many training reports, evenly from each")
    wrong: float | None = Field(None, ge=0, le=1, description="share of them with another report's impression")
    missing: float | None = Field(None, ge=0, lt=1, description="share of them that is left out")
    draft_of: str | None = Field(None, description="the dataset whose development part (valid) is drafted and scored")
    draft: dict[str, Any] = Field(default_factory=dict, description="settings of Drafting")

    @model_validator(mode="after")
    def _drafting_is_known(self) -> "Settings":
        try:
            Drafting.model_validate(self.draft)
        except ValidationError as error:
            raise ValueError("draft: " + "; ".join(tell_mistakes(error))) from None
        if isinstance(self.reports, int) and self.reports < 1:
            raise ValueError("reports: must be at least 1, or all")
        return self

    def under(self, level: "Settings") -> "Settings":
        """These settings where `level` says nothing else."""
        chosen = {name: value for name in type(self).model_fields if (value := getattr(level, name)) is not None}
        chosen |= {name: {**getattr(self, name), **getattr(level, name)} for name in ("set", "draft")}
        return self.model_copy(update=chosen)


class Words(_Section):
    """What the page of a study says beside its figures; none of it decides a run."""

    asked: str
    found: str = Field("", description="a Jinja template: {{ value('lora', '300', measure='rouge1') }}")
    limits: list[str] = Field(default_factory=list)
    command: str = ""


class Study(_Section):
    """A whole study. `axes` are multiplied with each other and with `seeds`; every product is a cell."""

    title: str
    words: Words
    datasets: dict[str, Hospital | None] = Field(min_length=1, description="null: given as --data NAME=DATASET")
    base: str | FirstTraining
    settings: Settings
    axes: dict[str, dict[str, Settings]] = Field(min_length=1, max_length=2)
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    reference: dict[str, str] = Field(default_factory=dict, description="axis: level that the others are held against")
    measures: list[str] = Field(["repeated", "answered_normal", "invented", "rouge1"], min_length=1)
    observations: bool = Field(False, description="also what is repeated and invented of each observation")

    @model_validator(mode="after")
    def _parts_agree(self) -> "Study":
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        for axis, levels in self.axes.items():
            if not levels:
                yield f"axes.{axis}: has no level"
        for axis, level in self.reference.items():
            if axis not in self.axes:
                yield f"reference: there is no axis {axis!r}; there are {', '.join(self.axes)}"
            elif level not in self.axes[axis]:
                yield f"reference: axis {axis} has no level {level!r}; it has {', '.join(self.axes[axis])}"
        if not self.reference:
            yield "reference: name the level that the others are held against, as {axis: level}"
        if len(set(self.seeds)) < len(self.seeds):
            yield "seeds: each one once"
        for measure in self.measures:
            if measure not in MEASURES:
                yield f"measures: no {measure!r}; there are {', '.join(MEASURES)}"
        named = {"settings": self.settings} | {
            f"axes.{axis}.{name}": level for axis, levels in self.axes.items() for name, level in levels.items()
        }
        used = [(place, each) for place, part in named.items() for each in (*(part.train_on or ()), part.draft_of)]
        used += [("base", each) for each in (self.base.train_on if isinstance(self.base, FirstTraining) else ())]
        for place, name in used:
            if name is not None and name not in self.datasets:
                yield f"{place}: no dataset {name!r}; there are {', '.join(self.datasets)}"
        for needed in ("recipe", "train_on", "draft_of"):
            if getattr(self.settings, needed) is None:
                yield f"settings.{needed}: must be given (a level may replace it)"


def read_study(path: Path, overrides: Sequence[str] = (), base: str | None = None, recipe: Path | None = None) -> Study:
    """The study in a YAML file; `base`, `recipe` and the `overrides` ([LEVEL:]KEY=VALUE) replace what it says.

    Recipes in it are paths from the file's folder; here they become paths from the present one. Raises one InputError
    that names every mistake.
    """
    values = read_settings(path, "study", "studies")
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: " + "; ".join(tell_mistakes(error))) from None
    levels = {axis: {name: _rooted(one, path) for name, one in axis_.items()} for axis, axis_ in study.axes.items()}
    settings = study.settings.under(Settings(recipe=str(recipe))) if recipe else _rooted(study.settings, path)
    for override in overrides:
        settings, levels = _override(settings, levels, override)
    changed: dict[str, Any] = {"settings": settings, "axes": levels}
    if base is not None:
        changed["base"] = str(Path(base).resolve()) if Path(base).is_dir() else base
    elif isinstance(study.base, FirstTraining):
        changed["base"] = study.base.model_copy(update={"recipe": str(path.parent / study.base.recipe)})
    return study.model_copy(update=changed)


_Levels = dict[str, dict[str, Settings]]


def _rooted(settings: Settings, path: Path) -> Settings:
    return settings.model_copy(update={"recipe": str(path.parent / settings.recipe)}) if settings.recipe else settings


def _override(settings: Settings, levels: _Levels, override: str) -> tuple[Settings, _Levels]:
    key, equals, text = override.partition("=")
    level, colon, name = key.rpartition(":")
    if not equals or not name:
        raise InputError(f"override {override!r}: expected [LEVEL:]KEY=VALUE, as in lora.rank=16 or full:epochs=1")
    added = Settings(set={name: yaml.safe_load(text)})
    if not colon:
        return settings.under(added), levels
    if not any(level in axis for axis in levels.values()):
        known = ", ".join(name for axis in levels.values() for name in axis)
        raise InputError(f"override {override!r}: no level {level!r}; there are {known}")
    return settings, {
        axis: {each: one.under(added) if each == level else one for each, one in within.items()}
        for axis, within in levels.items()
    }
