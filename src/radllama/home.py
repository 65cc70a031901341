"""Where radllama keeps its own state on this machine: RADLLAMA_HOME, or the platform's data folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from radllama.errors import InputError

SECRET_VARIABLE = "RADLLAMA_SECRET"  # for replicas on several machines: the same in each one's environment
_SECRET_FILE = "secret.key"
_SECRET_BYTES = 32


def find_home() -> Path:
    """The folder for keys, audit anchors and the default database; made, for its owner alone, when it is not there."""
    named = os.environ.get("RADLLAMA_HOME", "").strip()
    if named:
        folder = Path(named).expanduser()
    else:
        from platformdirs import user_data_path

        folder = user_data_path("radllama", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def load_secret(home: Path) -> bytes:
    """The secret (32 bytes) of this machine, made at first use in `home`; or the one in the environment, for replicas.

    Of two processes that make it at once, both get the one that is kept. Raises InputError when the file is broken:
    a new one would disown every audit entry written under it.
    """
    if given := os.environ.get(SECRET_VARIABLE, "").strip():
        return _parse_secret(given, SECRET_VARIABLE, "make one with `openssl rand -hex 32`")
    path = home / _SECRET_FILE
    if not path.exists():
        aside = home / f".{_SECRET_FILE}.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(_SECRET_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(aside, path)  # unlike a rename, it leaves a file that another process put there first
        finally:
            aside.unlink()
    return _parse_secret(path.read_bytes().decode("ascii", "replace"), path, "restore it from the backup")


def _parse_secret(text: str, where: str | Path, todo: str) -> bytes:
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != _SECRET_BYTES:
        raise InputError(f"{where}: not a secret of {_SECRET_BYTES} bytes in hexadecimal; {todo}")
    return secret
