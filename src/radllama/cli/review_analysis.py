"""`radllama review analyse` and `radllama review power`."""

from pathlib import Path
from typing import Annotated

import typer

from radllama.cli.serve import Database, need_extra, opened
from radllama.errors import InputError


def analyse(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A closed study's name, or a folder it was exported to.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for review.html, analysis.json and the tables.")],
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap samples.")] = 2000,
    seed: Annotated[int, typer.Option(help="What draws them.")] = 0,
    database: Database = None,
) -> None:
    """Say what a closed study shows: means, differences, agreement, errors, preference; and a paragraph for a paper."""
    need_extra("review")
    from tempfile import TemporaryDirectory

    from radllama.review.analysis.analyse import analyse as work_out
    from radllama.review.analysis.tables import render_analysis_table
    from radllama.review.ratings import STUDY_FILE, read_export

    exported = Path(study)
    # A name has no slash; so a path that holds no export is told so, rather than looked up as a name.
    if (exported / STUDY_FILE).exists() or exported.name != study:
        rows = read_export(exported)
    else:
        with TemporaryDirectory() as folder:
            _export(study, Path(folder), database)
            rows = read_export(Path(folder))
    print(render_analysis_table(work_out(rows, out, seed, resamples)))


def _export(study: str, folder: Path, database: str | None) -> None:
    from radllama.review.answers import verify_answers
    from radllama.review.export import export_study
    from radllama.review.studies import find_study
    from radllama.server.audit import Event

    with opened(database) as (store, audit):
        verify_answers(store, audit)
        with store.read() as session:
            row = find_study(session, study)
            if row.closed_at is None:
                raise InputError(
                    f"study {study!r} is still open, so it stays blinded; close it first: radllama review close {study}"
                )
            export_study(session, row, folder)
            number = row.id
        audit.append(Event("review.analyse", "cli", facts={"study": number}))


def power(
    difference: Annotated[float, typer.Option(help="What is to be found: of mean answers, or of shares with --share.")],
    mean: Annotated[float | None, typer.Option(help="The lower mean, on the scale of 1 to 5.  [default: 3.5]")] = None,
    share: Annotated[
        float | None, typer.Option(help="Of shares instead, say of drafts to sign as they are: the lower one, 0 to 1.")
    ] = None,
    raters: Annotated[str, typer.Option(help="Raters a report, as a list.")] = "1,2,3,4",
    chance: Annotated[float, typer.Option("--power", help="The chance to find it that is asked for.")] = 0.8,
    tests: Annotated[int, typer.Option(help="How many tests the study corrects for: pairs by questions.")] = 1,
    report_sd: Annotated[float | None, typer.Option(help="What reports add to a judgement.  [default: 0.4]")] = None,
    draft_sd: Annotated[float | None, typer.Option(help="What drafts add.  [default: 0.6]")] = None,
    rater_sd: Annotated[float | None, typer.Option(help="What raters add.  [default: 0.4]")] = None,
    rest_sd: Annotated[float | None, typer.Option(help="What the moment adds.  [default: 0.6]")] = None,
    pilot: Annotated[
        Path | None, typer.Option(help="A pilot study's export: its deviations and its mean are the defaults.")
    ] = None,
    question: Annotated[str | None, typer.Option(help="A scale of the pilot.  [default: its first]")] = None,
    simulations: Annotated[int, typer.Option(min=1, help="Simulated studies for each cell.")] = 1000,
    seed: Annotated[int, typer.Option(help="What draws them.")] = 0,
) -> None:
    """Say how many reports and raters a study needs to find a difference, by simulation."""
    need_extra("review")
    from radllama.review.power import parse_question, parse_raters, parse_spread, plan_study, read_pilot, render_plan
    from radllama.review.ratings import read_export

    known = read_pilot(read_export(pilot), question) if pilot else None
    spread = parse_spread(known and known[0], report=report_sd, draft=draft_sd, rater=rater_sd, rest=rest_sd)
    asked = parse_question(difference, mean, share, known and known[1])
    print(render_plan(plan_study(asked, spread, parse_raters(raters), chance, tests, simulations, seed)))
