"""Cassettes: what an endpoint answered, kept on disk, so that a run is repeated without the network and unpaid.

A line is {"key", "request", "response"}; the key is a hash of the request, that is of model, prompt and sampling.
**The requests hold report text**: the file is readable by its owner alone, and belongs where the reports belong.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radllama.errors import InputError

_OWNER_ONLY = 0o600
_LINE_START = b'{"key": "'
_PROMPTS = ("messages", "prompt")


def hash_request(request: Mapping[str, Any]) -> str:
    """SHA-256 of a request's fields, whatever their order; where it goes and with which key is no part of it."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


class Cassette:
    """The recorded answers of one file, which grows as answers are added; threads may share it."""

    def __init__(self, path: Path) -> None:
        """Open `path`, or begin with nothing; raises InputError for a file that is no cassette."""
        self.path = path
        self._lock = threading.Lock()
        self._responses: dict[str, dict[str, Any]] = {}
        self._settings: list[dict[str, Any]] = []  # those of all requests, each once
        if path.exists():
            self._read()

    def __len__(self) -> int:
        return len(self._responses)

    def find(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """The recorded answer to exactly this request."""
        return self._responses.get(hash_request(request))

    def add(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        """Record an answer; it is on disk when this returns. The first answer to a request stays the one."""
        row = {"key": hash_request(request), "request": dict(request), "response": dict(response)}
        with self._lock:
            if row["key"] in self._responses:
                return
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                place = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _OWNER_ONLY)
                with os.fdopen(place, "w", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:  # a failed write does not know its file
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            self._keep(row)

    def why_missing(self, request: Mapping[str, Any]) -> str:
        """Why `request` is not recorded, in the names of its fields alone: their text may be a patient's."""
        wanted = _settings_of(request)
        changes = [
            sorted(name for name in wanted.keys() | known.keys() if wanted.get(name) != known.get(name))
            for known in self._settings
        ]
        if not changes:
            return "nothing is recorded in it"
        changed = min(changes, key=len)
        return f"recorded with another {', '.join(changed)}" if changed else "the prompt is none of those recorded"

    def _read(self) -> None:
        raw = self.path.read_bytes()
        end = raw.rfind(b"\n") + 1
        torn = raw[end:]  # by a crash: will be asked again
        if torn and not torn.startswith(_LINE_START) and not _LINE_START.startswith(torn):
            raise InputError(f"{self.path}: not a cassette; choose another file")
        for number, line in enumerate(raw[:end].splitlines(), start=1):
            self._keep(_parse_line(line, f"{self.path}:{number}"))
        if torn:
            os.truncate(self.path, end)
        self.path.chmod(_OWNER_ONLY)

    def _keep(self, row: dict[str, Any]) -> None:
        self._responses.setdefault(row["key"], row["response"])
        settings = _settings_of(row["request"])
        if settings not in self._settings:
            self._settings.append(settings)


def _settings_of(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in _PROMPTS}


def _parse_line(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        raise InputError(f"{where}: not a line of a cassette; choose another file") from None
    if not isinstance(row, dict) or not all(isinstance(row.get(name), dict) for name in ("request", "response")):
        raise InputError(f"{where}: not a line of a cassette; choose another file")
    if row.get("key") != hash_request(row["request"]):
        raise InputError(f"{where}: its key does not fit its request, so one of them was changed; remove the line")
    return row
