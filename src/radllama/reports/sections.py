"""Free text to sections: findings, impression and what stands around them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unusable:
    """A report that could not be read as findings and impression, and why.

    `reason` is a short constant phrase to count by, such as "no section headings"; never report text.
    """

    id: str
    reason: str
