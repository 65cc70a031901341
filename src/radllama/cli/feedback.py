"""`radllama feedback`: what people made of the drafts, as a dataset; and its removal."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from radllama.cli.serve import Database, opened

feedback_app = typer.Typer(
    help="Export what was accepted and edited; remove what is old.", no_args_is_help=True, rich_markup_mode=None
)
_DAY = ["%Y-%m-%d"]


@feedback_app.command("export")
def feedback_export(
    out: Annotated[Path, typer.Option(help="The dataset folder to write.")],
    since: Annotated[datetime | None, typer.Option(formats=_DAY, help="Only what was signed from this day on.")] = None,
    edited_only: Annotated[bool, typer.Option("--edited-only", help="Leave out what was accepted as it was.")] = False,
    database: Database = None,
) -> None:
    """Write the signed impressions as a training dataset, for `radllama train`."""
    with opened(database) as (store, _):
        from radllama.dataset.build import render_card
        from radllama.server.feedback import export_feedback

        print(render_card(export_feedback(store, out, _utc(since), edited_only)))


@feedback_app.command("purge")
def feedback_purge(
    before: Annotated[datetime, typer.Option(formats=_DAY, help="Remove drafts made before this day.")],
    database: Database = None,
) -> None:
    """Remove old drafts and their verdicts for good; the audit log keeps that they were there, without their text."""
    with opened(database) as (_, audit):
        from radllama.server.audit import Event
        from radllama.server.feedback import remove_before
        from radllama.server.messages import remove_messages

        moment = before.replace(tzinfo=timezone.utc)
        with audit.transaction() as (session, log):
            removed = remove_before(session, moment)
            unread = remove_messages(session, moment)
            log(
                Event(
                    "feedback.purge",
                    "cli",
                    facts={"before": f"{moment:%Y-%m-%d}", "removed": removed, "unread": unread},
                )
            )
    print(f"{removed} drafts removed" + (f", and {unread} messages that could not be read" if unread else ""))


def _utc(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=timezone.utc) if day else None
