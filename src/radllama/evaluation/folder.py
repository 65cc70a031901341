"""The folder of results: opened before any work, so that what cannot be written is said first."""

from pathlib import Path

from radllama.errors import InputError
from radllama.run import RUN_FILE


def open_folder(out: Path) -> None:
    """Make the folder of results; what stands there is not finished from here on. Raises InputError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / RUN_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(out, error) from None


def unwritable(out: Path, error: OSError) -> InputError:
    """What to raise when the folder `out` cannot be written."""
    return InputError(f"{out}: cannot be written ({error.strerror}); choose another folder, or make room")
