"""The command line: one thin function a verb, a file a family. Results go to stdout, everything else to stderr."""

import sys
from typing import Annotated

import typer

import radllama
from radllama.cli.check import check
from radllama.cli.data import data_app
from radllama.cli.dicom import dicom_app
from radllama.cli.doctor import doctor
from radllama.cli.draft import draft
from radllama.cli.evaluate import compare, evaluate
from radllama.cli.feedback import feedback_app
from radllama.cli.label import label
from radllama.cli.library import library_app
from radllama.cli.review import review_app
from radllama.cli.review_analysis import analyse, power
from radllama.cli.serve import audit_app, keys_app, serve
from radllama.cli.study import study
from radllama.cli.train import train
from radllama.cli.unread import unread_app
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
app.add_typer(data_app, name="data")
app.add_typer(library_app, name="library")
app.add_typer(dicom_app, name="dicom")
app.add_typer(keys_app, name="keys")
app.add_typer(audit_app, name="audit")
app.add_typer(feedback_app, name="feedback")
app.add_typer(unread_app, name="unread")
app.add_typer(review_app, name="review")
review_app.command()(analyse)
review_app.command()(power)
for verb in (train, draft, evaluate, compare, study, label, check, doctor, serve):
    app.command()(verb)

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
