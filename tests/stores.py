"""Databases for tests: a SQLite file, and a real PostgreSQL server of our own on a socket in a temporary folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from radllama.store.store import Store, open_store


def find_postgres() -> Path | None:
    """The folder with `initdb` and `postgres`: on the path, or where Debian and Red Hat put it."""
    if on_path := shutil.which("initdb"):
        return Path(on_path).parent
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    return max((folder for folder in found if (folder / "initdb").exists()), default=None)


class PostgresServer:
    """A PostgreSQL of our own. It refuses to run as root: then it runs as its own user."""

    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self._binaries, self._folder = binaries, folder
        self._options: dict[str, Any] = {"user": user, "cwd": folder, "env": {"LC_ALL": "C.UTF-8"}}
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, **self._options,
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again."""
        settings = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}'"
        self._control("-l", self._folder / "log", "-w", "-o", settings, "start")

    def kill(self) -> None:
        """End it at once, as a crash would: at the next start it recovers from its log."""
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: Any) -> None:
        subprocess.run(
            [self._binaries / "pg_ctl", "-D", self._folder / "data", *arguments],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._options,
        )  # fmt: skip


@contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """A server until the block ends; skips where there is none installed."""
    binaries = find_postgres()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # Not in pytest's folder: others than root may not enter it, and a socket's path has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="radllama-pg-"))
    user = None
    if os.getuid() == 0:
        user = next((name for name in ("postgres", "nobody") if _exists(name)), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
        shutil.chown(folder, user)
    try:
        server = PostgresServer(binaries, folder, user)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a server's `postgres` database."""
    with run_postgres() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.sqlite3"
        return
    import psycopg

    server = request.getfixturevalue("postgres")
    name = f"test_{os.urandom(4).hex()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield server.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty RADLLAMA_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def store(database: str, home: Path) -> Iterator[Store]:
    """An opened, empty store, once of each kind."""
    opened = open_store(database, home)
    yield opened
    opened.close()


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
