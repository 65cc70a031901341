"""Drafting without a model: the impression that the nearest prior reports agree on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from radllama.drafting.abstain import Vocabulary, collect_vocabulary
from radllama.drafting.draft import NO_FINDINGS, NO_NEIGHBOUR, REFUSALS, Draft, check_findings
from radllama.engines import Completion, Sampling
from radllama.errors import InputError
from radllama.library import Library, Neighbour
from radllama.library.consensus import consensus
from radllama.library.folder import fingerprint, read_library
from radllama.report import Report
from radllama.text import words

_BATCH = 64  # reports that are kept at once, so that a file that was stopped goes on


class ConsensusDrafter:
    """Drafts the impression most like those of the `count` nearest prior reports, weighted by resemblance.

    It abstains as a model would that was tuned on the library's reports.
    """

    def __init__(self, library: Library, library_name: str, count: int) -> None:
        self.library: Library | None = library
        self._prior = library
        self._name, self._count = library_name, count
        self._vocabulary = Vocabulary(collect_vocabulary(report.findings for report in library.reports))

    def settings(self) -> dict[str, Any]:
        """What decides the drafts."""
        return {"model": "consensus", "prompt": "none", "library": self._name, "consensus": self._count}

    def draft(self, findings: str, indication: str = "", sampling: Sampling | None = None) -> Completion:
        """Draft one impression; raises InputError where it abstains (REFUSALS). The rest plays no part."""
        check_findings(findings)
        completion, _ = self._vote(findings)
        if completion.finish_reason in REFUSALS:
            raise InputError(f"{REFUSALS[completion.finish_reason]}; pass the findings section of a report")
        return completion

    def draft_batches(
        self, reports: Sequence[Report], sampling: Sampling, batch_size: int | None = None, skip: int = 0
    ) -> Iterator[dict[int, Draft]]:
        """Draft all reports in batches, in their order, past the first `skip` batches: {index: draft}."""
        size = batch_size or _BATCH
        for start in range(skip * size, len(reports), size):
            numbers = range(start, min(start + size, len(reports)))
            yield {number: self._draft(reports[number], sampling) for number in numbers}

    def _draft(self, report: Report, sampling: Sampling) -> Draft:
        completion, neighbours = self._vote(report.findings)
        return Draft(
            id=report.id,
            findings=report.findings,
            reference=report.impression or None,
            draft=completion.text,
            model="consensus",
            prompt="none",
            seed=sampling.seed,
            finish_reason=completion.finish_reason,
            neighbours=neighbours,
            source=report.source or None,
        )

    def _vote(self, findings: str) -> tuple[Completion, list[Neighbour]]:
        reason = self._vocabulary.why_abstain(findings) if words(findings) else NO_FINDINGS
        if reason:
            return Completion("", reason), []
        neighbours = self._prior.nearest(findings, self._count)
        if not neighbours:
            return Completion("", NO_NEIGHBOUR), []
        return Completion(consensus(neighbours), "stop"), neighbours


def load_consensus(folder: Path, count: int) -> ConsensusDrafter:
    """A drafter by the consensus of `count` neighbours from the library in a folder."""
    return ConsensusDrafter(read_library(folder), fingerprint(folder), count)
