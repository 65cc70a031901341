"""What a person is told while something runs: always on stderr, because stdout carries results only."""

import sys


def note(text: str) -> None:
    """Print one line for the person at the terminal; never report text."""
    print(text, file=sys.stderr)
