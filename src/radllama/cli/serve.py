"""`radllama serve`, `radllama keys` and `radllama audit`: what the assistant's keepers type."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radllama.cli import rivals, web
from radllama.drafting.sampling import SAMPLES
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


def serve(
    model: Annotated[str, typer.Option(help="A run or model folder, a hub name, or mini (embedded).")] = "mini",
    library: Annotated[
        Path | None,
        typer.Option(
            help="A library of prior reports (radllama library build) that vote too, and stand beside drafts."
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Candidates of the model that vote for each draft; 1: its likeliest.  [default: {SAMPLES}]"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")] = "auto",
    engine: Annotated[
        str | None,
        typer.Option(
            help="transformers, ctranslate2, ctranslate2-int8 (see docs/engines.md), or openai (served elsewhere).  "
            "[default: ctranslate2-int8 for mini, transformers for every other model]"
        ),
    ] = None,
    base_url: rivals.BaseUrl = None,
    served_model: Annotated[
        str | None, typer.Option(help="With --engine openai: the model's name there.  [default: the only one]")
    ] = None,
    template: Annotated[
        str,
        typer.Option(help="With --engine openai, how it is asked: chat, paper, plain, or a model folder's template."),
    ] = "chat",
    key_variable: rivals.KeyVariable = "OPENAI_API_KEY",
    host: web.Host = "127.0.0.1",
    port: web.Port = 8000,
    database: Database = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that each hold the model.  [default: 1; of mini one a core, at most 4; elsewhere 4]",
        ),
    ] = None,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait; the next is told to come again.")] = 64,
    deadline_s: Annotated[float, typer.Option("--deadline", min=1, help="Seconds a request may take.")] = 30.0,
    limit: Annotated[str, typer.Option(help="Requests a key may make.")] = "600/minute",
    openid: web.OpenId = None,
    openid_client: web.OpenIdClient = "radllama",
    session_hours: web.SessionHours = 12.0,
    tls_cert: web.TlsCert = None,
    tls_key: web.TlsKey = None,
    proxy: web.Proxies = None,
    allow_host: web.AllowedHosts = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Let findings cross the network in the clear.")
    ] = False,
    mllp: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT", help="Listen for HL7 v2 messages too, on this machine alone.")
    ] = None,
    mllp_clients: Annotated[
        Path | None, typer.Option(help="The certificates (PEM) that senders of HL7 beyond this machine are signed by.")
    ] = None,
) -> None:
    """Serve drafting inside the hospital: the API and, with it, who did what."""
    need_extra()
    from radllama.server.batcher import Limits
    from radllama.server.endpoint import Elsewhere
    from radllama.server.serve import OpenId, Settings
    from radllama.server.serve import serve as run_server
    from radllama.web.exposure import Exposure

    elsewhere = None
    if engine == rivals.ENDPOINT:
        if base_url is None:
            raise InputError("serve: --engine openai needs --base-url, as in http://127.0.0.1:8001/v1")
        elsewhere = Elsewhere(base_url, served_model, template, key_variable, deadline_s)
    elif base_url or served_model:
        raise InputError("serve: --base-url and --served-model are for a model served elsewhere; add --engine openai")
    exposure = Exposure(
        host, port, tls_cert, tls_key, tuple(proxy or ()), plain_http, tuple(name.lower() for name in allow_host or ())
    )
    limits = Limits(queue=queue, deadline_s=deadline_s)
    from radllama.server.mllp_exposure import MllpExposure, parse_mllp

    listener = MllpExposure(*parse_mllp(mllp), tls_cert, tls_key, mllp_clients, plain_http) if mllp else None
    run_server(
        Settings(
            model,
            device,
            engine,
            library,
            samples,
            elsewhere,
            OpenId(openid, openid_client, session_hours) if openid else None,
            database=database,
            workers=workers,
            limit=limit,
            limits=limits,
            exposure=exposure,
            mllp=listener,
        )
    )


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is: a person, a RIS, a script.")],
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="draft, feedback or metrics; repeat. [default: draft, feedback]"),
    ] = None,
    database: Database = None,
) -> None:
    """Make a key and print it: the only time that anybody sees it."""
    with opened(database) as (_, audit):
        from radllama.server.audit import Event
        from radllama.server.keys import create_key

        with audit.transaction() as (session, log):
            key, token = create_key(session, name, scopes or ("draft", "feedback"))
            log(Event("key.create", "cli", facts={"key": key.id, "scopes": key.scopes}))
    print(token)


@keys_app.command("list")
def keys_list(database: Database = None) -> None:
    """Show every key's name, id, scopes and state; never the key."""
    with opened(database) as (store, _):
        from radllama.server.keys import list_keys

        with store.read() as session:
            for key in list_keys(session):
                state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "in use"
                print(f"{key.id}  {key.name}  [{key.scopes}]  made {key.created_at:%Y-%m-%d}  {state}")


@keys_app.command("revoke")
def keys_revoke(name: Annotated[str, typer.Argument(help="The key's name or id.")], database: Database = None) -> None:
    """Revoke a key: from the next request on it opens nothing."""
    with opened(database) as (_, audit):
        from radllama.server.audit import Event
        from radllama.server.keys import revoke_key

        with audit.transaction() as (session, log):
            key = revoke_key(session, name)
            log(Event("key.revoke", "cli", facts={"key": key.id}))
    print(key.id)


@audit_app.command("verify")
def audit_verify(database: Database = None) -> None:
    """Check that no entry was altered, removed, reordered or cut off; names the first break."""
    with opened(database) as (_, audit):
        print(f"{audit.verify()} entries, unbroken")


@contextmanager
def opened(database: str | None) -> Iterator[tuple["Store", "AuditLog"]]:
    """The store and the audit log of this home, closed at the end."""
    need_extra()
    from radllama.home import find_home
    from radllama.server.audit import AuditLog
    from radllama.store.store import open_store

    home = find_home()
    store = open_store(database, home)
    try:
        yield store, AuditLog(store, home)
    finally:
        store.close()


def need_extra(extra: str = "serve") -> None:
    """Raise InputError, with what to install, where the libraries of a web app are not there."""
    needed = ["fastapi", "sqlalchemy", "alembic", "structlog"]
    if extra == "review":
        needed += ["argon2", "python_multipart", "statsmodels"]
    if absent := [name for name in needed if not find_spec(name)]:
        raise InputError(f"{absent[0]} is not installed; this needs pip install 'radllama[{extra}]'")
