"""Prompts: one rendering for training, drafting and serving, and the token ids that come of it."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from radllama.clinical.read import Span
from radllama.clinical.segment import find_sentences
from radllama.errors import InputError
from radllama.files import read_json, write_json
from radllama.selection import Selection, find_rest, parse_selection, tell
from radllama.text import words

if TYPE_CHECKING:
    from radllama.recipe import Neighbours

PROMPT_FILE = "prompt.json"
SELECTION_FILE = "selection.json"
NOTHING = "none"
INSTRUCTION = "Derive the impression from findings in the radiology report"
_SLOT = "{neighbours}"  # in `before`: where prior reports stand
_SECTION = re.compile(r"\{(findings|impression)\}")


class PriorReport(Protocol):
    """What a prompt shows of a neighbour."""

    @property
    def findings(self) -> str:
        """Its findings."""
        ...

    @property
    def impression(self) -> str:
        """Its signed impression."""
        ...


@dataclass(frozen=True, slots=True)
class Shelf:
    """The place of prior reports in a prompt: at most `count` of them, in at most `budget_tokens` tokens.

    Each is a `line`, the nearest `last` or `first`, and `close` follows them all. Without any, none of it stands there.
    """

    count: int
    budget_tokens: int
    nearest: str
    line: str
    close: str

    def render_one(self, neighbour: PriorReport) -> str:
        """One prior report as it stands in the prompt."""
        sections = {"findings": neighbour.findings.strip(), "impression": neighbour.impression.strip()}
        return _SECTION.sub(lambda match: sections[match[1]], self.line)

    def render(self, neighbours: Sequence[PriorReport]) -> str:
        """The prior reports, given the nearest first."""
        lines = [self.render_one(one) for one in neighbours]
        return "".join(lines[::-1] if self.nearest == "last" else lines) + (self.close if lines else "")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template, complete in itself: it is saved with the model and read back from there, never by name.

    The prompt is `before` + (the indication line) + findings + `after`; the model continues it with
    `completion` and the end token. `indication` says whether the indication, where known, is shown.
    With a `selection` the sentences that it chooses are the beginning of the impression, and the model writes the rest.
    With a `shelf`, `before` names the place of prior reports.
    """

    template: str
    before: str
    after: str
    completion: str = "{impression}"
    indication_line: str = "Indication: {indication}\nFindings: "
    indication: bool = False
    selection: Selection | None = None
    shelf: Shelf | None = None

    def render(
        self,
        findings: str,
        indication: str = "",
        chosen: Sequence[Span] | None = None,
        neighbours: Sequence[PriorReport] = (),
    ) -> str:
        """The text that the model is given for these findings.

        `chosen`, of a prompt with a selection: the sentences (`find_sentences`) that the impression begins with, in
        place of its own choice; they do not stand among the findings then. `neighbours`, nearest first, need a shelf.
        """
        shown = self.indication and indication.strip()
        line = self.indication_line.replace("{indication}", indication.strip()) if shown else ""
        others, told = self._split(findings, chosen)
        return f"{self._begin(neighbours)}{line}{others}{self.after}{told}"

    def _begin(self, neighbours: Sequence[PriorReport]) -> str:
        if not self.shelf:
            if neighbours:
                raise ValueError(f"the template {self.template} has no place for prior reports")
            return self.before
        start, _, end = self.before.partition(_SLOT)
        return f"{start}{self.shelf.render(neighbours)}{end}"

    @property
    def beginning(self) -> str:
        """What every prompt begins with."""
        return self.before.partition(_SLOT)[0]

    def tell(self, findings: str, chosen: Sequence[Span] | None = None) -> str:
        """The beginning of the impression that is not the model's: the chosen sentences in short, or nothing."""
        return tell(findings, self._choose(findings, chosen))

    def _choose(self, findings: str, chosen: Sequence[Span] | None) -> Sequence[Span]:
        if not self.selection:
            return []
        return self.selection.choose(findings) if chosen is None else chosen

    def _split(self, findings: str, chosen: Sequence[Span] | None) -> tuple[str, str]:
        """The findings as they are shown, and what follows `after`."""
        spans = self._choose(findings, chosen)
        told = tell(findings, spans)
        if not told:
            return findings.strip(), ""
        others = [findings[start:end] for start, end in find_sentences(findings) if (start, end) not in spans]
        return " ".join(others) or NOTHING, self.completion.replace("{impression}", told)

    def render_completion(self, impression: str, findings: str = "", chosen: Sequence[Span] | None = None) -> str:
        """The text that the model is taught to continue with: the impression, or what of it is not told yet."""
        spans = self._choose(findings, chosen)
        if not tell(findings, spans):
            return self.completion.replace("{impression}", impression.strip())
        rest = find_rest(findings, impression, spans)
        return f" {rest}" if rest else ""

    @property
    def name(self) -> str:
        """The template's name and a short hash of its text, as drafts record it ("paper@1f2e3d4c")."""
        digest = hashlib.sha256(repr(self.used()).encode()).hexdigest()
        return f"{self.template}@{digest[:8]}"

    def used(self) -> dict[str, Any]:
        """Every field that plays a part: a prompt without the later ones keeps the name that it always had."""
        unused = ([] if self.shelf else ["shelf"]) + ([] if self.selection else ["selection", "apart_line"])
        return {name: value for name, value in asdict(self).items() if name not in unused}


TEMPLATES = {
    # The layout of Stanford Alpaca around the paper's instruction (arXiv 2309.06419, section 3).
    "paper": Prompt(
        template="paper",
        before="Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n\n"
        f"### Instruction:\n{INSTRUCTION}\n\n### Input:\n",
        after="\n\n### Response:\n",
    ),
    # The dialogue format that Llama 2's chat models were tuned on; the tokenizer adds the <s>.
    "llama2-chat": Prompt(
        template="llama2-chat",
        before="[INST] <<SYS>>\nYou draft the impression of a radiology report. Answer with the impression alone."
        f"\n<</SYS>>\n\n{INSTRUCTION}.\n\n",
        after=" [/INST]",
        completion=" {impression}",
    ),
    # As few tokens as possible: for models trained on this task alone.
    "plain": Prompt(
        template="plain",
        before="findings: ",
        after="\nimpression:",
        completion=" {impression}",
        indication_line="{indication}\nfindings: ",
    ),
}

# What a prior report looks like in a template, with its findings and without.
_LINES = ("Prior report: {findings}\nIts impression: {impression}\n", "Prior impression: {impression}\n")
_PLAIN_LINES = ("prior: {findings}\nimpression: {impression}\n", "prior: {impression}\n")
_CLOSE = "\nThis report:\n"


def make_prompt(
    template: str,
    indication: bool = False,
    selection: Selection | None = None,
    neighbours: "Neighbours | None" = None,
) -> Prompt:
    """The named template, showing the indication or not, with a place for prior reports or without.

    Raises InputError for a name that is not there.
    """
    if template not in TEMPLATES:
        raise InputError(f"no template {template!r}; there are {', '.join(TEMPLATES)}")
    prompt = replace(TEMPLATES[template], indication=indication, selection=selection)
    if not neighbours:
        return prompt
    # The instruction comes first, so that it remains what all prompts share; "findings:" names what follows it.
    plain = template == "plain"
    line = (_PLAIN_LINES if plain else _LINES)[not neighbours.findings]
    shelf = Shelf(neighbours.count, neighbours.budget_tokens, neighbours.nearest, line, "" if plain else _CLOSE)
    return replace(prompt, before=_SLOT + prompt.before if plain else prompt.before + _SLOT, shelf=shelf)


def write_prompt(prompt: Prompt, folder: Path) -> None:
    """Write the template into a model's folder, where drafting and serving will read it."""
    write_json(folder / PROMPT_FILE, {name: value for name, value in prompt.used().items() if name != "selection"})
    if prompt.selection:
        write_json(folder / SELECTION_FILE, asdict(prompt.selection))


def read_prompt(folder: Path) -> Prompt:
    """The template that a model in `folder` was tuned with. Raises InputError when it is broken."""
    path = folder / PROMPT_FILE
    values = read_json(path)
    try:
        shelf = values.pop("shelf", None)
        prompt = Prompt(**values, shelf=Shelf(**shelf) if shelf else None)
    except (TypeError, AttributeError):
        raise InputError(f"{path}: not a prompt file; copy it again from the run that made the model") from None
    selection = folder / SELECTION_FILE
    return replace(prompt, selection=parse_selection(read_json(selection), selection)) if selection.exists() else prompt


@dataclass(frozen=True, slots=True)
class Example:
    """One training example as token ids: the prompt (not learned) and the completion with its end token."""

    prompt_ids: list[int]
    completion_ids: list[int]

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


def encode_prompt(
    prompt: Prompt,
    tokenizer: Any,
    findings: str,
    indication: str = "",
    chosen: Sequence[Span] | None = None,
    neighbours: Sequence[PriorReport] = (),
) -> list[int]:
    """Token ids of the prompt, with the tokenizer's begin token if it has one and without an end token.

    Raises InputError for findings without a single word: no draft of them would mean anything.
    """
    if not words(findings):
        raise InputError("the findings hold no words; an impression needs findings to rest on")
    return encode_text(tokenizer, prompt.render(findings, indication, chosen, neighbours))


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a rendered prompt, with the tokenizer's begin token if it has one and without an end token."""
    # split_special_tokens: a "</s>" or "<|eot_id|>" inside the findings is text like any other.
    ids: list[int] = tokenizer(text, split_special_tokens=True)["input_ids"]
    if ids and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    return ids


def encode_example(
    prompt: Prompt,
    tokenizer: Any,
    findings: str,
    impression: str,
    indication: str = "",
    chosen: Sequence[Span] | None = None,
) -> Example:
    """Prompt and completion are encoded apart, so that training sees exactly the ids that drafting sends."""
    text = prompt.render_completion(impression, findings, chosen)
    completion = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return Example(
        prompt_ids=encode_prompt(prompt, tokenizer, findings, indication, chosen),
        completion_ids=[*completion, tokenizer.eos_token_id],
    )
