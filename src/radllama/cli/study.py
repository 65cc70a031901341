"""`radllama study`."""

from pathlib import Path
from typing import Annotated

import typer

from radllama.errors import InputError


def study(
    design: Annotated[Path, typer.Argument(metavar="STUDY", help="A study; complete ones stand in studies/.")],
    out: Annotated[Path, typer.Option(help="Folder of studies: what two of them share is run once.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[[LEVEL:]KEY=VALUE]...", help="Settings of its recipes; LEVEL: for one level alone."),
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="NAME=DATASET", help="A dataset that the study names; repeat.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Another base: a folder or a hub name.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="Another recipe in place of the study's.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say how many runs, and about how long; start none.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time.  [default: one a GPU; 1 without]")] = None,
    per_cell: Annotated[int, typer.Option(min=1, help="GPUs (or processes) that train one run together.")] = 1,
) -> None:
    """Run a study: levels x seeds, each an ordinary run, and one table with intervals over seeds and reports."""
    from radllama.study.design import read_study

    read = read_study(design, overrides or [], base, recipe)
    from radllama.study.pool import find_places
    from radllama.study.run import open_study, run_study

    progress = open_study(read, _parse_data(data or []), out)
    places = find_places(jobs, per_cell)
    if plan:
        from radllama.study.plan import plan as make_plan
        from radllama.study.plan import render_study_plan

        print(render_study_plan(make_plan(progress, places)))
        return
    run_study(progress, places)
    from radllama.study.write import render_study, write_study

    found = write_study(progress, out / design.stem)
    print(render_study(found))
    if progress.failed:
        raise typer.Exit(1)


def _parse_data(arguments: list[str]) -> dict[str, Path]:
    folders = {}
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        if not equals or not name or not folder:
            raise InputError(f"--data {argument!r}: expected NAME=DATASET, as in openi=runs/openi")
        folders[name] = Path(folder)
    return folders
