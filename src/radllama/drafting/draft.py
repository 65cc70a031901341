"""Drafting: findings -> draft, one at a time or a file of reports, resumable to the byte."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from radllama.clinical.check import FLAG_KINDS, check
from radllama.console import note
from radllama.drafting.abstain import TOO_SHORT, UNLIKE, Vocabulary
from radllama.drafting.batches import plan_batches
from radllama.engines import Completion, Engine, Sampling
from radllama.errors import InputError
from radllama.files import hash_file, read_json, write_jsonl
from radllama.library import Library, Neighbour
from radllama.library.advice import custom_advice
from radllama.library.asking import Asked, Asking
from radllama.prompt import Prompt
from radllama.report import Report, read_reports
from radllama.run import write_run
from radllama.text import is_unicode, words

NO_FINDINGS, TOO_LONG, NO_NEIGHBOUR = "no_findings", "too_long", "no_neighbour"
REFUSALS = {
    NO_FINDINGS: "the findings hold no words",
    TOO_SHORT: "the findings are a single word",
    UNLIKE: "the findings are unlike the reports that the model was tuned on",
    TOO_LONG: "the findings are longer than the model's context",
    NO_NEIGHBOUR: "no prior report shares a word with the findings",
}
MISSES_LIBRARY = "the model was tuned to read prior reports; without --library it drafts from the findings alone"


_IF_KNOWN = ("shown", "left_out", "source")  # no key where there is nothing to tell


@dataclass(frozen=True, slots=True)
class Draft:
    """One line of DRAFTS.jsonl. finish_reason: stop, length, or why there is no draft (REFUSALS).

    `neighbours`, best first, are the prior reports it was drafted with; None, and no key, without a library.
    `shown` are the ids of those that stood in the prompt, `left_out` is how many did not fit it; None, and no keys,
    where the model reads none. `source` is where the report came from, as it says itself.
    """

    id: str
    findings: str
    reference: str | None
    draft: str
    model: str
    prompt: str
    seed: int
    finish_reason: str
    neighbours: Sequence[Neighbour] | None = None
    shown: Sequence[str] | None = None
    left_out: int | None = None
    source: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The line as an object; a neighbour without its findings, which stand in the library."""
        row = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "neighbours"}
        row = {name: value for name, value in row.items() if value is not None or name not in _IF_KNOWN}
        if self.neighbours is not None:
            row["neighbours"] = [
                {"id": one.id, "score": round(one.score, 4), "impression": one.impression} for one in self.neighbours
            ]
        return row


class DraftsReports(Protocol):
    """What `draft_file` needs of a way from findings to drafts; `library` is where its neighbours come from, if any."""

    library: Library | None

    def settings(self) -> dict[str, Any]:
        """What decides the drafts beside the reports and the sampling; JSON values, told in the run file."""
        ...

    def draft_batches(
        self, reports: Sequence[Report], sampling: Sampling, batch_size: int | None = None, skip: int = 0
    ) -> Iterator[dict[int, Draft]]:
        """{index in `reports`: draft} for each batch; the same batches whatever is skipped."""
        ...


def check_findings(findings: str, indication: str = "") -> None:
    """Raise InputError for what cannot be drafted from: bytes that are no text, or no words."""
    if not is_unicode(findings + indication):
        raise InputError("the findings hold bytes that are not UTF-8; pass them as UTF-8 text")
    if not words(findings):
        raise InputError("the findings hold no words; an impression needs findings to rest on")


class Drafter:
    """An engine and the prompt its model was tuned with: the one way from findings to a draft.

    `name` is what drafts say of the model: its folder and a hash of its weights ("mini@1a2b3c4d"). With the
    `vocabulary` of its training reports it abstains from findings that are unlike them.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: Prompt,
        name: str,
        vocabulary: Vocabulary | None = None,
        library: Library | None = None,
        library_name: str = "none",
    ) -> None:
        """`library`: for a prompt that shows prior reports; `library_name` names it in the run file."""
        self.engine = engine
        self.prompt = prompt
        self.name = name
        self.vocabulary = vocabulary or Vocabulary()
        self.library = library
        self._library_name = library_name
        self._asking = Asking(prompt, library, engine.count_tokens)

    def with_library(self, library: Library, name: str = "none") -> "Drafter":
        """The same drafter, whose prompts show prior reports if its model was tuned to read them."""
        return Drafter(self.engine, self.prompt, self.name, self.vocabulary, library, name)

    def settings(self) -> dict[str, Any]:
        """What decides the drafts beside the reports and the sampling."""
        settings = {"model": self.name, "prompt": self.prompt.name, "engine": self.engine.name}
        return settings | ({"library": self._library_name} if self.prompt.shelf else {})

    def ask(
        self, findings: str, indication: str = "", max_new_tokens: int = 128, leave_out: Report | None = None
    ) -> Asked:
        """The prompt for these findings, which leaves room for the draft as far as fewer prior reports can."""
        room = self.engine.context_tokens - max_new_tokens
        return self._asking.ask(findings, indication, room, leave_out)

    def draft(self, findings: str, indication: str = "", sampling: Sampling | None = None) -> Completion:
        """Draft one impression. Raises InputError where the drafter abstains (REFUSALS)."""
        return self.candidates(findings, indication, sampling)[0]

    def candidates(self, findings: str, indication: str = "", sampling: Sampling | None = None) -> list[Completion]:
        """All samples or beams of one impression; the errors of `draft`."""
        sampling = sampling or Sampling()
        asked = self._ask_one(findings, indication, sampling)
        return [asked.finish(one) for one in self.engine.complete([asked.text], sampling)[0]]

    def stream(self, findings: str, indication: str = "", sampling: Sampling | None = None) -> Iterator[str]:
        """The text of `draft` in pieces as it is written; the errors of `draft`, before the first piece."""
        sampling = sampling or Sampling()
        asked = self._ask_one(findings, indication, sampling)
        return asked.finish_pieces(self.engine.stream(asked.text, sampling))

    def _ask_one(self, findings: str, indication: str, sampling: Sampling) -> Asked:
        check_findings(findings, indication)
        if reason := self.vocabulary.why_abstain(findings):
            raise InputError(f"{REFUSALS[reason]}; pass the findings section of a report, as it was dictated")
        asked = self.ask(findings, indication, sampling.max_new_tokens)
        if self._too_long(asked.tokens, sampling):
            raise InputError(
                f"the findings take {asked.tokens} tokens; with {sampling.max_new_tokens} for the draft the model's "
                f"context of {self.engine.context_tokens} is exceeded; shorten them (nothing is ever cut)"
            )
        return asked

    def draft_batches(
        self, reports: Sequence[Report], sampling: Sampling, batch_size: int | None = None, skip: int = 0
    ) -> Iterator[dict[int, Draft]]:
        """Draft all reports in batches of like length: yields {index in `reports`: draft} for each batch.

        A batch holds `batch_size` reports, or what the token budget holds (see `plan_batches`). Batches
        depend on the reports and settings alone, and the first `skip` are passed over: a resumed file is
        drafted in the same batches as an undisturbed one, whatever an engine promises.
        """
        refused = {i: reason for i, one in enumerate(reports) if (reason := self._why_abstain(one.findings))}
        asked = {
            i: self.ask(one.findings, one.indication, sampling.max_new_tokens, leave_out=one)
            for i, one in enumerate(reports)
            if i not in refused
        }
        refused |= {i: TOO_LONG for i, one in asked.items() if self._too_long(one.tokens, sampling)}
        lengths = {i: one.tokens for i, one in asked.items() if i not in refused}
        candidates = max(sampling.samples, sampling.beams)
        batches = plan_batches(lengths, sampling.max_new_tokens * candidates, batch_size)
        if refused:
            batches.insert(0, sorted(refused))
        for batch in batches[skip:]:
            if batch[0] in refused:
                yield {i: self._line(reports[i], Completion("", refused[i]), sampling) for i in batch}
                continue
            completed = self.engine.complete([asked[i].text for i in batch], sampling)
            yield {
                i: self._record(reports[i], asked[i], [asked[i].finish(one) for one in found], sampling)
                for i, found in zip(batch, completed, strict=True)
            }

    def _why_abstain(self, findings: str) -> str | None:
        return self.vocabulary.why_abstain(findings) if words(findings) else NO_FINDINGS

    def _too_long(self, tokens: int, sampling: Sampling) -> bool:
        return tokens + sampling.max_new_tokens > self.engine.context_tokens

    def _record(self, report: Report, asked: Asked, found: Sequence[Completion], sampling: Sampling) -> Draft:
        return self._line(report, found[0], sampling, asked, asked.shown if self.library else None)

    def _line(
        self,
        report: Report,
        completion: Completion,
        sampling: Sampling,
        asked: Asked | None = None,
        neighbours: Sequence[Neighbour] | None = None,
    ) -> Draft:
        read = asked if self.prompt.shelf else None
        return Draft(
            id=report.id,
            findings=report.findings,
            reference=report.impression or None,
            draft=completion.text,
            model=self.name,
            prompt=self.prompt.name,
            seed=sampling.seed,
            finish_reason=completion.finish_reason,
            neighbours=neighbours,
            shown=[one.id for one in read.shown] if read else None,
            left_out=read.left_out if read else None,
            source=report.source or None,
        )


def draft_file(
    drafter: DraftsReports,
    reports_path: Path,
    out: Path,
    batch_size: int | None = None,
    sampling: Sampling | None = None,
) -> Counter[str]:
    """Draft every report of a `.jsonl` file into `out`, in the file's order; returns the finish reasons' counts.

    Each line also has the `flags` that the checks raised on its draft (`radllama.clinical.check`).
    Finished batches are kept in `out` + ".partial" as they come. When the same command is run again,
    drafting goes on where it stopped; when other settings or reports are, an InputError says so.
    """
    sampling = sampling or Sampling()
    if not reports_path.is_file():
        raise InputError(f"{reports_path}: no such file")
    settings = {
        **drafter.settings(),
        "reports_sha256": hash_file(reports_path),
        "batch_size": batch_size,
        **{name: value for name, value in asdict(sampling).items() if name != "logprobs"},  # no draft depends on them
    }
    run_file = out.with_suffix(".run.json")
    partial = _Partial(out.with_name(out.name + ".partial"), settings)
    if out.exists() and not partial.exists():  # with both there, the end of the writing was not reached
        if run_file.exists() and read_json(run_file)["settings"] == settings:
            note(f"{out}: already drafted with these settings; nothing to do")
            return Counter(read_json(run_file)["finish_reasons"])
        raise InputError(f"{out}: drafts of other settings stand here; choose another --out, or remove them")
    reports = list(read_reports(reports_path))
    if not reports:
        raise InputError(f"{reports_path}: no reports in it")
    if drafter.library and (both := drafter.library.overlap(report.id for report in reports)):
        raise InputError(
            f"{reports_path}: {len(both)} of its reports stand in the library (the first: id {both[0]!r}); a report "
            "must not be its own neighbour: draft another part, or build the library without this one"
        )

    done = partial.read()
    rows = {i: row for batch in done for i, row in batch.items()}
    with tqdm(total=len(reports), initial=len(rows), unit="report", desc="drafting", file=sys.stderr) as bar:
        for batch in drafter.draft_batches(reports, sampling, batch_size, skip=len(done)):
            new = {
                i: {**draft.to_json(), "flags": _flags(draft, reports[i], drafter.library)}
                for i, draft in batch.items()
            }
            partial.append(new)
            rows |= new
            bar.update(len(new))
    counts = Counter(str(row["finish_reason"]) for row in rows.values())
    write_jsonl(out, (rows[i] for i in range(len(reports))))
    write_run(
        run_file,
        "draft",
        settings,
        drafts_sha256=hash_file(out),
        reports=len(reports),
        finish_reasons=dict(counts),
        flagged=_count_kinds(rows.values()),
        **_count_neighbours(rows.values()),
    )
    partial.remove()
    return counts


def _flags(draft: Draft, report: Report, library: Library | None) -> list[dict[str, Any]]:
    """What the checks object to, given the library's custom; nothing where the drafter abstained."""
    if draft.finish_reason in REFUSALS:
        return []
    is_custom = custom_advice(library, report.findings, leave_out=report)
    return [flag.to_json() for flag in check(draft.findings, draft.draft, is_custom=is_custom)]


def _count_kinds(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many drafts have a flag of each kind, and of any."""
    kinds = [{flag["kind"] for flag in row["flags"]} for row in rows]
    return {"any": sum(map(bool, kinds)), **{kind: n for kind in FLAG_KINDS if (n := sum(kind in of for of in kinds))}}


def _count_neighbours(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """How many prior reports stood in prompts, and how many did not fit; nothing for a model that reads none."""
    read = [row for row in rows if "shown" in row]
    if not read:
        return {}
    shown, left_out = sum(len(row["shown"]) for row in read), sum(row["left_out"] for row in read)
    return {"neighbours_in_prompts": {"shown": shown, "left_out": left_out}}


class _Partial:
    """The batches of an unfinished drafts file: a line of settings, then a line a batch."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path = path
        self._settings = settings

    def exists(self) -> bool:
        return self._path.exists()

    def read(self) -> list[dict[int, dict[str, Any]]]:
        """The finished batches; a line that a crash tore is cut off. Begins the file when there is none."""
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._append(self._settings)
            return []
        raw = self._path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if not whole:
            self._path.unlink()
            return self.read()
        try:
            header, *batches = [json.loads(line) for line in whole.splitlines()]
        except ValueError:
            raise InputError(f"{self._path}: not a begun drafts file; move it away, or choose another --out") from None
        if header != self._settings:
            changed = ", ".join(key for key in self._settings if header.get(key) != self._settings[key])
            raise InputError(
                f"{self._path}: begun with another {changed}; run that command again to finish it, or remove the file"
            )
        if len(whole) < len(raw):
            os.truncate(self._path, len(whole))
        return [{int(i): row for i, row in batch.items()} for batch in batches]

    def append(self, batch: dict[int, dict[str, Any]]) -> None:
        self._append(batch)

    def remove(self) -> None:
        self._path.unlink()

    def _append(self, value: Any) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(value, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # a failed write does not know its file
            raise OSError(error.errno, error.strerror, str(self._path)) from None
