"""What a check raises."""

from dataclasses import dataclass
from typing import Any, Literal

from radllama.clinical.read import Span

FlagKind = Literal[
    "side", "negation", "measurement", "severity", "unsupported", "omitted", "prior", "recommendation", "malformed"
]
FLAG_KINDS: tuple[FlagKind, ...] = (
    "side",
    "negation",
    "measurement",
    "severity",
    "unsupported",
    "omitted",
    "prior",
    "recommendation",
    "malformed",
)


@dataclass(frozen=True, slots=True)
class Flag:
    """One disagreement between a draft and its findings, for a radiologist to look at.

    Spans are (first character, past the last) in the draft and in the findings; None where there is no such place
    (nothing in the draft for what was omitted, nothing in the findings for what was invented). `message` is a plain
    sentence in words of the lexicon; it quotes neither text.
    """

    kind: FlagKind
    message: str
    draft_span: Span | None
    findings_span: Span | None

    def to_json(self) -> dict[str, Any]:
        """One entry of `flags` in a line of FLAGS or DRAFTS."""
        return {
            "kind": self.kind,
            "message": self.message,
            "draft_span": list(self.draft_span) if self.draft_span else None,
            "findings_span": list(self.findings_span) if self.findings_span else None,
        }
