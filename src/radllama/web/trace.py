"""An exception told without its message, which may quote patient text."""

import traceback
from pathlib import Path


def describe(error: BaseException) -> str:
    """Its type and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames[-4:]))
    return f"{type(error).__name__} at {where}" if where else type(error).__name__
