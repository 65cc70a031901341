"""`radllama data`: fetch, build and sample datasets."""

from pathlib import Path
from typing import Annotated

import typer

from radllama.errors import InputError

data_app = typer.Typer(help="Fetch, build and sample datasets.", no_args_is_help=True, rich_markup_mode=None)


@data_app.command("fetch")
def data_fetch(
    collection: Annotated[str, typer.Argument(help="The collection: openi.")],
    out: Annotated[Path, typer.Option(help="Folder to download into.")],
) -> None:
    """Download a public collection; goes on where an earlier try stopped, and verifies what came."""
    if collection != "openi":
        raise InputError(f"no collection {collection!r} to fetch; there is openi (MIMIC-CXR needs a PhysioNet login)")
    from radllama.reports.fetch import fetch_openi

    print(fetch_openi(out))


@data_app.command("build")
def data_build(
    source: Annotated[str, typer.Option(help="openi, mimic-cxr, table, fhir, hl7 or dicom.")],
    path: Annotated[Path, typer.Option(help="The raw file or folder.")],
    out: Annotated[Path, typer.Option(help="The dataset folder to write.")],
    split: Annotated[
        str | None, typer.Option(help="impressiongpt, inlg2023, official (MIMIC-CXR) or random:SEED.")
    ] = None,
    split_file: Annotated[Path | None, typer.Option(help="mimic-cxr-2.0.0-split.csv.gz, for official.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COL=FIELD", help="A table's column and what it holds; repeat."),
    ] = None,
) -> None:
    """Read, clean and split reports into a dataset, and say what was dropped and what leaks."""
    from radllama.dataset.build import build_dataset, render_card

    card = build_dataset(source, path, out, split, _parse_map(columns or []), split_file)
    print(render_card(card))


@data_app.command("sample")
def data_sample(
    out: Annotated[Path, typer.Option(help="Folder for reports.csv.")],
    reports: Annotated[int, typer.Option(min=1, help="How many reports.")] = 1200,
    seed: Annotated[int, typer.Option(help="Another seed, another hospital archive.")] = 0,
) -> None:
    """Write the sample hospital: synthetic reports of several body parts and modalities."""
    from radllama.reports.sample import write_sample

    print(write_sample(out, reports, seed))


def _parse_map(entries: list[str]) -> dict[str, str]:
    columns = {}
    for entry in entries:
        column, equals, field = entry.rpartition("=")
        if not equals or not column or not field:
            raise InputError(f"--map {entry!r}: expected COLUMN=FIELD, as in Befund=findings")
        columns[column] = field
    return columns
