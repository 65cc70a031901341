"""Recipes: one YAML file that holds every choice of a training run, checked as a whole."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from radllama.errors import InputError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptChoice(_Section):
    """Which template, whether it shows the indication where a report has one, and what is told of the findings."""

    template: Literal["paper", "llama2-chat", "plain"] = "paper"
    indication: bool = False
    tell: float | None = Field(None, gt=0, lt=1, description="begin with sentences as likely as this to be taken up")


class Neighbours(_Section):
    """Prior reports in the prompt: the nearest of the train part, never the report itself or one of its patient."""

    count: int = Field(ge=1, le=50, description="how many of the nearest")
    findings: bool = Field(False, description="their findings too, or their impressions alone")
    nearest: Literal["last", "first"] = Field("last", description="where the nearest stands")
    budget_tokens: int = Field(256, ge=16, description="of all together; the farthest that do not fit are left out")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of examples without any: a library may be missing")


class Lora(_Section):
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685); the defaults are the paper's."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    targets: list[str] = Field(["q_proj", "v_proj"], min_length=1)


class Scratch(_Section):
    """The shape of a Llama that is trained from nothing, with a byte-level BPE tokenizer of its own."""

    vocab_size: int = Field(2500, ge=300)
    hidden_size: int = Field(256, ge=8)
    intermediate_size: int = Field(688, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    context_tokens: int = Field(1024, ge=64)
    dropout: float = Field(0.1, ge=0, lt=1, description="on embeddings and on what each block adds")

    @model_validator(mode="after")
    def _heads_divide(self) -> "Scratch":
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size must be an even multiple of heads ({self.heads})")
        return self


class Augment(_Section):
    """More examples out of the same reports (see `radllama.training.augment`); nothing unless asked for."""

    copies: float = Field(0, ge=0, description="copy tasks for every report")
    swap_sides: float = Field(0, ge=0, le=1, description="share of examples; so are the next three")
    shuffle: float = Field(0, ge=0, le=1)
    drop: float = Field(0, ge=0, le=1)
    insert: float = Field(0, ge=0, le=1)
    mistell: float = Field(0, ge=0, le=1, description="share of sentences told, or not told, against the reference")


class Recipe(_Section):
    """Everything that decides what a training run does; see `recipes/` for complete, commented ones."""

    base: str = Field(min_length=1, description="a hub name, a model folder, mini, or scratch")
    scratch: Scratch | None = Field(None, description="the shape, with base: scratch")
    prompt: PromptChoice = PromptChoice()
    neighbours: Neighbours | None = Field(None, description="prior reports in the prompt; none without this section")
    tuning: Literal["lora", "qlora", "full"] = "lora"
    lora: Lora = Lora()
    augment: Augment = Augment()

    epochs: int = Field(3, ge=1)
    batch_size: int = Field(128, ge=1, description="examples an optimizer step")
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup_share: float = Field(0.03, ge=0, lt=1, description="of all steps")
    clip_norm: float = Field(1.0, gt=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    averaging: float = Field(0.0, ge=0, lt=1, description="decay of the weights' running average; 0 is none")
    findings_loss: float = Field(0.0, ge=0, le=1, description="weight of the prompt's own tokens in the loss")

    context_tokens: int = Field(1024, ge=16, description="longer examples are dropped and counted")
    device_tokens: int = Field(8192, ge=16, description="tokens a forward pass; lower it when memory ends")
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    activation_checkpointing: bool = False

    evaluations: int = Field(1, ge=1, description="validations an epoch")
    valid_drafts: int = Field(64, ge=0, description="validation reports drafted and scored each time")
    keep: Literal["loss", "rouge1", "last"] = Field("loss", description="which checkpoint is the result")
    sharded: bool = Field(False, description="spread the weights over all processes (FSDP)")
    tracker: str = Field("tensorboard", description="any tracker that accelerate knows, or none")
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _parts_agree(self) -> "Recipe":
        problems = []
        if (self.base == "scratch") != (self.scratch is not None):
            problems.append("scratch: give its section with base: scratch, and only then")
        if self.base == "scratch" and self.tuning != "full":
            problems.append("tuning: a model from scratch has nothing to adapt; it must be full")
        if self.sharded and (self.tuning == "qlora" or self.optimizer == "muon" or self.averaging):
            problems.append("sharded: only with tuning lora or full, optimizer adamw and no averaging")
        if self.keep == "rouge1" and not self.valid_drafts:
            problems.append("keep: rouge1 needs valid_drafts above 0")
        if self.neighbours and self.neighbours.budget_tokens >= self.context_tokens:
            problems.append("neighbours.budget_tokens: must leave the findings room within context_tokens")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """The recipe in a YAML file with `key=value` overrides (dots for sections: `lora.rank=16`).

    Raises one InputError that names every mistake.
    """
    values = read_settings(path, "recipe", "recipes")
    for override in overrides or []:
        _override(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: " + "; ".join(tell_mistakes(error))) from None


def read_settings(path: Path, kind: str, examples: str) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises InputError when it is missing (`examples`: the folder where such a `kind` stands) or no settings.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such {kind}; complete ones stand in {examples}/") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected settings as `key: value`, found a {type(values).__name__}")
    return values


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r}: expected key=value, as in lora.rank=16")
    *sections, name = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"override {override!r}: {section} has no settings inside")
        values = inner
    values[name] = yaml.safe_load(text)


def tell_mistakes(error: ValidationError) -> list[str]:
    """What is wrong, a line a setting: where, what, what was found there."""
    lines = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "no such setting"
        found = problem["input"]
        told = f", got {found!r}" if isinstance(found, str | int | float | bool) and place else ""
        lines.append(f"{place}: {message[0].lower()}{message[1:]}{told}" if place else message)
    return lines
