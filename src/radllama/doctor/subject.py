"""The model that is looked at: each part of it read or loaded once, when a check asks for it."""

from functools import cached_property
from pathlib import Path
from typing import Any

from radllama.doctor.outcome import SkippedError
from radllama.doctor.served import Served
from radllama.engines import Completion, Engine, Sampling
from radllama.engines.convert import find_converted
from radllama.engines.transformers import TransformersEngine
from radllama.errors import InputError
from radllama.model import EMBEDDED, SETTINGS_FILE, Model, base_of, load_model, model_folder
from radllama.reports.sample import SampleReport, generate
from radllama.run import read_run

DRAFT_TOKENS = 64
_POOL = 20  # sample reports looked at for each probe that is wanted: not all fit a small context


class Subject:
    """A model by its name, with `probes` synthetic findings to draft from, and perhaps a server that has it too.

    What cannot be loaded makes its readers raise SkippedError: the check `loads` says why, once.
    """

    def __init__(
        self,
        name: str = EMBEDDED,
        probes: int = 8,
        device: str = "cpu",
        served: Served | None = None,
    ) -> None:
        self.name, self.device, self.served, self._count = name, device, served, probes

    @cached_property
    def folder(self) -> Path | None:
        """Where the model lies; None for a name on the hub. That of a training that has not finished, too."""
        begun = Path(self.name)
        if (begun / SETTINGS_FILE).exists():
            return begun
        return model_folder(self.name)

    @property
    def here(self) -> Path:
        """The folder. Raises SkippedError for a name on the hub."""
        if self.folder is None:
            raise SkippedError("a name on the hub: there is no folder to look into")
        return self.folder

    @cached_property
    def run(self) -> dict[str, Any] | None:
        """What its training recorded; None for a model from elsewhere."""
        return read_run(self.folder) if self.folder else None

    @property
    def trained(self) -> dict[str, Any]:
        """The record of a training with radllama. Raises SkippedError where there is none."""
        if self.run is None or self.run.get("command") != "train":
            raise SkippedError("no run.json: this model was not trained with radllama, or not to its end")
        return self.run

    @cached_property
    def base(self) -> str | None:
        """What an adapter stands on; None for a whole model."""
        return base_of(self.folder) if self.folder else None

    @cached_property
    def _loaded(self) -> Model | InputError:
        try:
            return load_model(self.name, self.device)
        except InputError as error:
            return error

    def load(self) -> Model:
        """The model. Raises InputError when it cannot be loaded."""
        if isinstance(self._loaded, InputError):
            raise self._loaded
        return self._loaded

    @property
    def model(self) -> Model:
        """The model. Raises SkippedError when it cannot be loaded."""
        if isinstance(self._loaded, InputError):
            raise SkippedError("the model does not load")
        return self._loaded

    @cached_property
    def engine(self) -> TransformersEngine:
        """The engine that `radllama draft` would take it with."""
        return TransformersEngine(self.model.network, self.model.tokenizer, shared=self.model.prompt.before)

    @cached_property
    def probes(self) -> list[SampleReport]:
        """Reports of the sample hospital whose prompt and draft fit the context."""
        room = self.engine.context_tokens - DRAFT_TOKENS
        fitting = (
            one
            for one in generate(_POOL * self._count, seed=7)
            if self.engine.count_tokens(self.model.prompt.render(one.findings, one.indication)) <= room
        )
        found = [one for one, _ in zip(fitting, range(self._count), strict=False)]
        if not found:
            raise SkippedError(f"its context of {self.engine.context_tokens} tokens holds no report and a draft")
        return found

    @cached_property
    def prompts(self) -> list[str]:
        """The probes as the model is asked."""
        return [self.model.prompt.render(one.findings, one.indication) for one in self.probes]

    @cached_property
    def drafts(self) -> list[Completion]:
        """Greedy drafts of the probes, as `radllama draft --engine transformers` makes them."""
        return self.complete(self.engine)

    def complete(self, engine: Engine) -> list[Completion]:
        """Greedy drafts of the probes by another engine."""
        sampling = Sampling(max_new_tokens=DRAFT_TOKENS)
        return [found[0] for found in engine.complete(self.prompts, sampling)]

    @cached_property
    def converted(self) -> list[Path]:
        """The whole conversions of these very weights that lie there."""
        return find_converted(self.name)
