"""Bringing a database's tables up to date by the migrations that ship with the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect, text

from radllama.errors import InputError

_FOLDER = Path(__file__).parent / "migrations"
VERSION_TABLE = "radllama_version"
_MIGRATING = 0x7261646C  # an advisory lock's number: any, as long as it stays the same


def migrate(engine: Engine, revision: str = "head") -> None:
    """Run the migrations that the database has not seen, all or none; of processes that start at once, one does it.

    Raises InputError for a database of a later radllama.
    """
    with engine.begin() as connection:  # on SQLite this takes the write lock
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
        _refuse_later(connection)
        command.upgrade(_config(connection), revision)


def _refuse_later(connection: Connection) -> None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return
    stamped = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
    try:
        ScriptDirectory(str(_FOLDER)).get_revision(stamped)
    except CommandError:
        raise InputError(
            f"database {connection.engine.url.render_as_string()}: its tables (revision {stamped}) were made by a "
            "later radllama; install that version, or use another database"
        ) from None


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
