"""`radllama keys` and `radllama audit`: what the assistant's keepers do at the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from radllama.errors import InputError

if TYPE_CHECKING:
    from radllama.server.audit import AuditLog
    from radllama.store.store import Store

keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)
audit_app = typer.Typer(help="Verify the audit log.", no_args_is_help=True, rich_markup_mode=None)

Database = Annotated[
    str | None,
    typer.Option(envvar="RADLLAMA_DATABASE", help="A database's URL. [default: SQLite in RADLLAMA_HOME]"),
]


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is: a person, a RIS, a script.")],
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="draft, feedback, metrics or admin; repeat. [default: draft, feedback]"),
    ] = None,
    database: Database = None,
) -> None:
    """Make a key and print it: the only time that anybody sees it."""
    with _opened(database) as (_, audit):
        from radllama.server.audit import Event
        from radllama.server.keys import create_key

        with audit.transaction() as (session, log):
            key, token = create_key(session, name, scopes or ("draft", "feedback"))
            log(Event("key.create", "cli", facts={"key": key.id, "scopes": key.scopes}))
    print(token)


@keys_app.command("list")
def keys_list(database: Database = None) -> None:
    """Show every key's name, id, scopes and state; never the key."""
    with _opened(database) as (store, _):
        from radllama.server.keys import list_keys

        with store.read() as session:
            for key in list_keys(session):
                state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "in use"
                print(f"{key.id}  {key.name}  [{key.scopes}]  made {key.created_at:%Y-%m-%d}  {state}")


@keys_app.command("revoke")
def keys_revoke(name: Annotated[str, typer.Argument(help="The key's name or id.")], database: Database = None) -> None:
    """Revoke a key: from the next request on it opens nothing."""
    with _opened(database) as (_, audit):
        from radllama.server.audit import Event
        from radllama.server.keys import revoke_key

        with audit.transaction() as (session, log):
            key = revoke_key(session, name)
            log(Event("key.revoke", "cli", facts={"key": key.id}))
    print(key.id)


@audit_app.command("verify")
def audit_verify(database: Database = None) -> None:
    """Check that no entry was altered, removed, reordered or cut off; names the first break."""
    with _opened(database) as (_, audit):
        print(f"{audit.verify()} entries, unbroken")


@contextmanager
def _opened(database: str | None) -> Iterator[tuple["Store", "AuditLog"]]:
    try:
        from radllama.server.audit import AuditLog
        from radllama.store.store import open_store
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; the assistant needs pip install 'radllama[serve]'") from None
    from radllama.home import find_home

    home = find_home()
    store = open_store(database, home)
    try:
        yield store, AuditLog(store, home)
    finally:
        store.close()
