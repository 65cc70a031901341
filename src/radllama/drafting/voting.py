"""Drafting with a vote: the model's candidates and the neighbours' impressions elect the draft."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radllama.drafting.draft import Draft, Drafter
from radllama.drafting.election import Elected, Voting, elect
from radllama.engines import Completion, Sampling
from radllama.library import Library
from radllama.library.asking import Asked
from radllama.library.folder import fingerprint, read_department
from radllama.library.habits import Habits
from radllama.report import Report


class VotingDrafter(Drafter):
    """A drafter whose candidates (samples or beams, see Sampling) are not the draft but vote for it."""

    def __init__(
        self, drafter: Drafter, voting: Voting, library: Library | None, library_name: str, habits: Habits | None
    ) -> None:
        super().__init__(drafter.engine, drafter.prompt, drafter.name, drafter.vocabulary, library, library_name)
        self.voting = voting
        self._habits = habits

    def settings(self) -> dict[str, Any]:
        """What decides the drafts beside the reports and the sampling."""
        return {**super().settings(), "library": self._library_name, **asdict(self.voting)}

    def draft(self, findings: str, indication: str = "", sampling: Sampling | None = None) -> Completion:
        """The elected draft; finish_reason FROM_FINDINGS when no candidate stood. Raises InputError as Drafter does."""
        elected = self.elect(findings, self.candidates(findings, indication, sampling))
        return Completion(elected.text, elected.finish_reason)

    def elect(self, findings: str, found: Sequence[Completion], others: int = 0) -> Elected:
        """Hold the vote over the completions of one prompt; what ran into its length limit has no voice."""
        said = [completion.text for completion in found if completion.finish_reason == "stop"]
        return elect(findings, said, self.library, self._habits, self.voting, others)

    def _record(self, report: Report, asked: Asked, found: Sequence[Completion], sampling: Sampling) -> Draft:
        elected = self.elect(report.findings, found)
        completion = Completion(elected.text, elected.finish_reason)
        return self._line(report, completion, sampling, asked, elected.neighbours if self.library else None)


def load_voting(drafter: Drafter, voting: Voting, folder: Path | None) -> VotingDrafter:
    """A voting drafter with the library in a folder, or with none."""
    library, habits = read_department(folder) if folder else (None, None)
    return VotingDrafter(drafter, voting, library, fingerprint(folder) if folder else "none", habits)
