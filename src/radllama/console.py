"""What a person is told while something runs: always on stderr, because stdout carries results only."""

import sys


def note(text: str) -> None:
    """Print one line for the person at the terminal; never report text."""
    if bars := sys.modules.get("tqdm"):  # a bar that is running makes room for the line
        bars.tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr)
