"""What a finished stage says about itself: `run.json`, written last, so that its presence means "finished"."""

import importlib.metadata
import platform
import time
from pathlib import Path
from typing import Any

import radllama
from radllama.files import read_json, write_json

RUN_FILE = "run.json"
_PACKAGES = ("torch", "transformers", "peft", "tokenizers", "rouge-score", "scikit-learn", "scipy", "statsmodels")


def write_run(path: Path, command: str, settings: dict[str, Any], **facts: Any) -> None:
    """Write a run file: the resolved settings, versions and whatever facts (hashes, counts) the stage has.

    `path` is the file itself, usually `folder / RUN_FILE`. Settings must be JSON values.
    """
    write_json(
        path,
        {
            "command": command,
            "settings": settings,
            **facts,
            "radllama": radllama.__version__,
            "python": platform.python_version(),
            "packages": _versions(),
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    )


def read_run(folder: Path) -> dict[str, Any] | None:
    """The run file of a folder, or None when the stage that writes there has not finished."""
    path = folder / RUN_FILE
    return read_json(path) if path.exists() else None


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
