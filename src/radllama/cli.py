"""The command line: one thin function a verb. Results go to stdout, everything else to stderr."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import radllama
from radllama.console import note
from radllama.errors import InputError

# Every verb imports what it needs when it runs: `radllama --help` must not wait for torch.
app = typer.Typer(
    help="Findings in, impression out: tune, draft and score radiology impressions.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Fetch, build and sample datasets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

_INTERRUPTED = 130  # what typer exits with after a Ctrl-C


def main() -> None:
    """Run the command line; a mistake of the user's becomes one line and exit code 2."""
    try:
        app()
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}; what was finished before is kept")
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            note("radllama: stopped; what was finished is kept, and the same command goes on (train: with --resume)")
        raise


def _fail(message: str) -> None:
    note(f"radllama: {message}")
    sys.exit(2)


def _version(asked: bool) -> None:
    if asked:
        print(radllama.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


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
    source: Annotated[str, typer.Option(help="openi, mimic-cxr or table.")],
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
    from radllama.dataset import build_dataset, render_card

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


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe; complete ones stand in recipes/.")],
    data: Annotated[Path, typer.Option(help="The dataset folder.")],
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace the recipe's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Tune a model on a dataset's train split."""
    from radllama.recipe import read_recipe

    chosen = read_recipe(recipe, overrides)  # before the slow imports: mistakes are told at once
    from radllama.train import train as run_training

    run_training(chosen, data, out, resume)
    print(out)


@app.command()
def draft(
    model: Annotated[str, typer.Option(help="A run or model folder, a hub name, or mini (embedded).")] = "mini",
    findings: Annotated[str | None, typer.Option(help="Draft the impression of these findings.")] = None,
    indication: Annotated[str, typer.Option(help="Why the study was made, with --findings.")] = "",
    reports: Annotated[Path | None, typer.Option("--in", help="A .jsonl of reports, drafted into --out.")] = None,
    out: Annotated[Path | None, typer.Option(help="The .jsonl of drafts, with --in.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Reports a batch.")] = 32,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="A draft's greatest length.")] = 128,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy: the likeliest words.")] = 0.0,
    seed: Annotated[int, typer.Option(help="For a temperature above 0.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")] = "auto",
) -> None:
    """Draft an impression, or those of a whole file."""
    one, many = findings is not None, reports is not None or out is not None
    if one == many or (many and (reports is None or out is None)):
        raise InputError("draft: give either --findings TEXT or both --in REPORTS.jsonl and --out DRAFTS.jsonl")
    from radllama.draft import REFUSALS, Drafter, draft_file
    from radllama.engines import Sampling
    from radllama.model import load_model

    sampling = Sampling(max_new_tokens, temperature, seed)
    drafter = Drafter(load_model(model, device))
    if findings is not None:
        completion = drafter.draft(findings, indication, sampling)
        if completion.finish_reason == "length":
            note(f"the draft was ended after {max_new_tokens} tokens; raise --max-new-tokens for the rest")
        print(completion.text)
    elif reports is not None and out is not None:
        counts = draft_file(drafter, reports, out, batch_size, sampling)
        for reason, told in REFUSALS.items():
            if counts[reason]:
                note(f"empty drafts: {counts[reason]} ({told})")
        if counts["length"]:
            note(f"drafts ended after {max_new_tokens} tokens (finish_reason length): {counts['length']}")
        print(out)


@app.command()
def evaluate(
    drafts: Annotated[Path, typer.Option(help="Drafts of any system, as .jsonl or .csv.")],
    out: Annotated[Path, typer.Option(help="Folder for scores.json and report.html.")],
    train: Annotated[
        Path | None, typer.Option(help="The training dataset, for the trivial rows and seen/unseen findings.")
    ] = None,
) -> None:
    """Score drafts against signed impressions, beside the trivial systems that any model must beat."""
    from radllama.evaluate import evaluate as score
    from radllama.evaluate import render_table

    print(render_table(score(drafts, out, train)))


@app.command()
def compare(
    drafts: Annotated[list[Path], typer.Argument(metavar="DRAFTS", help="Drafts files of two or more systems.")],
    out: Annotated[Path | None, typer.Option(help="Folder for compare.json.")] = None,
    train: Annotated[Path | None, typer.Option(help="The training dataset, for seen/unseen findings.")] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="METRIC", help="Any of scores.json; repeat. [default: rouge1]"),
    ] = None,
    common: Annotated[bool, typer.Option("--common", help="Leave out reports that a file lacks.")] = False,
) -> None:
    """Say which systems differ on the same reports, overall and by stratum, and which do not."""
    from radllama.compare import compare as hold_against_each_other
    from radllama.compare import render_comparison

    print(render_comparison(hold_against_each_other(drafts, out, train, metrics or ["rouge1"], common)))


@app.command()
def label(
    reports: Annotated[
        Path, typer.Option("--in", help="A .jsonl of reports, or of anything with an id and the field.")
    ],
    out: Annotated[Path, typer.Option(help="The .jsonl of labels.")],
    field: Annotated[str, typer.Option(help="The section to read: findings, impression, draft...")] = "findings",
) -> None:
    """Read the 14 CheXpert observations of each report by rules, with the words that decided."""
    from radllama.clinical.label import label_file

    counts = label_file(reports, out, field)
    if counts["empty"]:
        note(f"{counts['empty']} of {counts['reports']} have an empty {field}: no observation, not even No Finding")
    print(out)


def _parse_map(entries: list[str]) -> dict[str, str]:
    columns = {}
    for entry in entries:
        column, equals, field = entry.rpartition("=")
        if not equals or not column or not field:
            raise InputError(f"--map {entry!r}: expected COLUMN=FIELD, as in Befund=findings")
        columns[column] = field
    return columns
