"""`radllama unread`: messages of other systems that could not be read."""

import sys
from typing import Annotated

import typer

from radllama.cli.serve import Database, opened

unread_app = typer.Typer(
    help="Look at HL7 and FHIR messages that could not be used.", no_args_is_help=True, rich_markup_mode=None
)


@unread_app.command("list")
def unread_list(database: Database = None) -> None:
    """When each came, by which interface, how long it is, and why it could not be used; none of its text."""
    with opened(database) as (store, _):
        from radllama.server.messages import list_unread

        with store.read() as session:
            for row in list_unread(session):
                print(f"{row.id}  {row.at:%Y-%m-%d %H:%M:%S}  {row.interface}  {len(row.body)} bytes  {row.reason}")


@unread_app.command("show")
def unread_show(
    message: Annotated[str, typer.Argument(help="Its id, as list shows it.")], database: Database = None
) -> None:
    """Write one whole to stdout: it may hold a patient's text."""
    with opened(database) as (_, audit):
        from radllama.server.audit import Event
        from radllama.server.messages import find_unread

        with audit.transaction() as (session, log):
            body = find_unread(session, message).body
            log(Event("message.show", "cli", message))
    sys.stdout.buffer.write(body)
