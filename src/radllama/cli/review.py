"""`radllama review`: a blinded study, from its plan to its rows."""

from pathlib import Path
from typing import Annotated

import typer

from radllama.cli import web
from radllama.cli.serve import Database, need_extra, opened
from radllama.console import note

review_app = typer.Typer(
    help="Let radiologists judge drafts, blinded: plan a study, collect answers, close and export it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.")]


@review_app.command("create")
def create(
    study: StudyName,
    reports: Annotated[Path, typer.Option(help="The reports, as .jsonl (id, findings, impression).")],
    system: Annotated[list[str], typer.Option(help="NAME=FILE of a system's drafts (id, draft); repeat.")],
    human_reference: Annotated[
        bool, typer.Option("--human-reference", help="The signed impression takes part, blinded as all others.")
    ] = False,
    raters: Annotated[int, typer.Option(help="How many raters take part.")] = 3,
    per_report: Annotated[
        int | None, typer.Option(help="How many raters judge each report.  [default: all of them]")
    ] = None,
    repeat: Annotated[float, typer.Option(help="The share of a rater's reports that comes again.")] = 0.1,
    sample: Annotated[int | None, typer.Option(help="Draw so many of the reports.  [default: all]")] = None,
    seed: Annotated[int, typer.Option(help="What draws reports, orders and sides.")] = 0,
    form: Annotated[Path | None, typer.Option(help="The questions, as YAML.  [default: the one that ships]")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="What raters begin with, as YAML.  [default: the set that ships]")
    ] = None,
    no_calibration: Annotated[bool, typer.Option("--no-calibration", help="Begin at once.")] = False,
    title: Annotated[str, typer.Option(help="What raters read above the study.  [default: the form's title]")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Show the design and make nothing.")] = False,
    database: Database = None,
) -> None:
    """Make a study of reports and drafts; show its design first."""
    from radllama.review.design import describe_design, make_design
    from radllama.review.form import DEFAULT, read_form
    from radllama.review.material import describe_material, gather, parse_systems, read_calibration
    from radllama.review.studies import check_name

    check_name(study)
    asked = read_form(form or DEFAULT)
    first = [] if no_calibration else read_calibration(calibration, asked)
    material = gather(reports, parse_systems(system, human_reference), human_reference, sample, seed)
    design = make_design(len(material.reports), len(material.systems), raters, per_report, repeat, seed)
    told = [*describe_design(design), ("calibration first", f"{len(first)} reports"), ("form", asked.title)]
    for name, value in [*told, *describe_material(material)]:
        print(f"  {name:24}{value}")
    if plan:
        note("nothing was made; leave --plan out to make it")
        return
    with opened(database) as (_, audit):
        from radllama.review.studies import create_study, describe_study
        from radllama.server.audit import Event

        with audit.transaction() as (session, log):
            made = create_study(session, study, title, material, first, design, asked)
            log(Event("review.create", "cli", facts=describe_study(made)))
    note(f"study {study} is there; now invite its raters: radllama review invite {study}")


@review_app.command("form")
def change_form(
    study: StudyName,
    form: Annotated[
        Path | None, typer.Option(help="The new version, as YAML.  [default: print the present one]")
    ] = None,
    database: Database = None,
) -> None:
    """Print a study's form, or ask by a new version from now on; answers already given keep theirs."""
    with opened(database) as (store, audit):
        from radllama.review import studies
        from radllama.review.form import read_form
        from radllama.server.audit import Event

        if form is None:
            with store.read() as session:
                print(studies.read_study_form(session, studies.find_study(session, study)).source, end="")
            return
        asked = read_form(form)
        with audit.transaction() as (session, log):
            row = studies.find_study(session, study)
            version = studies.change_form(session, row, asked)
            log(Event("review.form", "cli", facts={"study": row.id, "version": version}))
    print(f"version {version}")


@review_app.command("status")
def status(
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="The study's name.  [default: all]")] = None,
    database: Database = None,
) -> None:
    """Show how far raters have come; no answers, and no systems."""
    with opened(database) as (store, _), store.read() as session:
        from radllama.review import progress, studies

        for row in [studies.find_study(session, study)] if study else studies.list_studies(session):
            print(progress.render_progress(progress.read_progress(session, row)))


@review_app.command("close")
def close(study: StudyName, database: Database = None) -> None:
    """Close a study for good: it takes no more answers, and may be unblinded."""
    with opened(database) as (store, audit):
        from radllama.review import studies
        from radllama.review.answers import verify_answers
        from radllama.server.audit import Event

        count = verify_answers(store, audit)
        with audit.transaction() as (session, log):
            row = studies.find_study(session, study)
            studies.close_study(session, row)
            log(Event("review.close", "cli", facts={"study": row.id}))
    note(f"closed; all {count} answers in this database are as they were given")


@review_app.command("export")
def export(
    study: StudyName,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    database: Database = None,
) -> None:
    """Write a closed study as plain rows; of an open one what was asked and how far it is, still blinded."""
    with opened(database) as (store, audit):
        from radllama.review import export as exporting
        from radllama.review import progress, studies
        from radllama.review.answers import verify_answers
        from radllama.server.audit import Event

        verify_answers(store, audit)
        with store.read() as session:
            row = studies.find_study(session, study)
            told = exporting.export_study(session, row, out)
            progress.write_progress(progress.read_progress(session, row), out)
        audit.append(Event("review.export", "cli", facts={"study": row.id, "unblinded": told.closed}))
    if not told.closed:
        note(f"study {study} is open, so systems and answers stay where they are; radllama review close {study}")
    print(out)


@review_app.command("invite")
def invite(
    study: StudyName,
    url: Annotated[str, typer.Option(help="Where raters reach the server.")] = "http://127.0.0.1:8010",
    seat: Annotated[
        int | None, typer.Option(help="A new link for this rater, 1 and up.  [default: all who have none yet]")
    ] = None,
    coordinator: Annotated[bool, typer.Option("--coordinator", help="A link to coordinate the study.")] = False,
    hours: Annotated[float, typer.Option(min=0.01, max=8760, help="How long a link lets somebody in.")] = 336,
    database: Database = None,
) -> None:
    """Print invitation links: each lets one person in, once."""
    need_extra("review")
    with opened(database) as (_, audit):
        from radllama.review import accounts, studies
        from radllama.review.export import rater_code
        from radllama.server.audit import Event

        with audit.transaction() as (session, log):
            row = studies.find_study(session, study)
            seats = [None] if coordinator else [seat] if seat is not None else accounts.open_seats(session, row)
            links = [(place, accounts.invite(session, row, place, hours)) for place in seats]
            for place, _ in links:
                log(Event("review.invite", "cli", facts={"study": row.id, "seat": place or 0}))
    for place, token in links:
        print(f"{rater_code(place) if place else 'coordinator'}\t{url.rstrip('/')}/invitation/{token}")
    if not links:
        note("every rater has a link already; --seat N makes a new one in its place")


@review_app.command("password")
def password(
    name: Annotated[str, typer.Argument(help="The account's name.")],
    database: Database = None,
) -> None:
    """Print a new password for somebody who has lost theirs, and sign them out everywhere."""
    need_extra("review")
    with opened(database) as (_, audit):
        import secrets

        from radllama.review.accounts import hash_password, renew_password
        from radllama.review.site import APP
        from radllama.server.audit import Event
        from radllama.web.sessions import close_sessions_of

        made = secrets.token_urlsafe(12)
        kept = hash_password(made)
        with audit.transaction() as (session, log):
            account = renew_password(session, name, kept)
            close_sessions_of(session, APP, account.id)
            log(Event("review.password", "cli", account.id))
    print(made)


@review_app.command("serve")
def serve(
    host: web.Host = "127.0.0.1",
    port: web.Port = 8010,
    session_hours: web.SessionHours = 12.0,
    openid: web.OpenId = None,
    openid_client: web.OpenIdClient = "radllama",
    tls_cert: web.TlsCert = None,
    tls_key: web.TlsKey = None,
    proxy: web.Proxies = None,
    allow_host: web.AllowedHosts = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Let reports and passwords cross the network in the clear.")
    ] = False,
    database: Database = None,
) -> None:
    """Serve the studies to raters and coordinators."""
    need_extra("review")
    from radllama.review.serve import Settings
    from radllama.review.serve import serve as run_server
    from radllama.web.exposure import Exposure

    names = tuple(name.lower() for name in allow_host or ())
    exposure = Exposure(host, port, tls_cert, tls_key, tuple(proxy or ()), plain_http, names)
    run_server(Settings(database, session_hours, openid, openid_client, exposure))


@review_app.command("backup")
def backup(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, as pilot.backup.gz.")],
    database: Database = None,
) -> None:
    """Write the whole database into one file; keep secret.key of RADLLAMA_HOME apart from it."""
    with opened(database) as (store, audit):
        from radllama.review.answers import verify_answers
        from radllama.review.backup import write_backup

        verify_answers(store, audit)  # what is broken already should not be taken for a good copy
        counts = write_backup(store, path)
    print(f"{path}: {sum(counts.values())} rows, {counts['review_answers']} of them answers")


@review_app.command("restore")
def restore(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `review backup` wrote.")],
    database: Database = None,
) -> None:
    """Write a backup into an empty database of either kind; secret.key must be there already."""
    with opened(database) as (store, audit):
        from radllama.review.backup import restore_backup

        counts = restore_backup(store, audit, path)
    print(f"{sum(counts.values())} rows, {counts['review_answers']} of them answers, each as it was given")
