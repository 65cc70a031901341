"""What a check says: pass, fail or skipped, what it saw, and what to do about it."""

from dataclasses import asdict, dataclass
from typing import Literal

PASS: Literal["pass"] = "pass"
FAIL: Literal["fail"] = "fail"
SKIPPED: Literal["skipped"] = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`todo` is empty where there is nothing to do. Neither text quotes a report."""

    status: Literal["pass", "fail", "skipped"]
    told: str
    todo: str = ""

    def to_json(self) -> dict[str, str]:
        """As `--json` prints it."""
        return asdict(self)


class SkippedError(Exception):
    """A check that has nothing to look at, and why."""


def passed(told: str) -> Outcome:
    """All is well."""
    return Outcome(PASS, told)


def failed(told: str, todo: str) -> Outcome:
    """Something is wrong, and this mends it."""
    return Outcome(FAIL, told, todo)


def skipped(told: str, todo: str = "") -> Outcome:
    """There was nothing to look at."""
    return Outcome(SKIPPED, told, todo)
