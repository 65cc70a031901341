"""`radllama dicom`: structured reports in, drafts as structured reports out."""

from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from radllama.console import note
from radllama.errors import InputError

dicom_app = typer.Typer(help="Draft from DICOM structured reports.", no_args_is_help=True, rich_markup_mode=None)


@dicom_app.callback()
def _options() -> None:
    """Draft from DICOM structured reports."""


@dicom_app.command("draft")
def dicom_draft(
    given: Annotated[Path, typer.Argument(help="A Basic Text, Enhanced or Comprehensive SR with findings.")],
    out: Annotated[Path, typer.Argument(help="The Basic Text SR to write: partial, unverified, preliminary.")],
    model: Annotated[str, typer.Option(help="A run or model folder, a hub name, or mini (embedded).")] = "mini",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")] = "auto",
    engine: Annotated[str | None, typer.Option(help="As in `radllama draft`.")] = None,
) -> None:
    """Draft the impression of a structured report into another one, which refers to it."""
    if not find_spec("pydicom"):
        raise InputError("pydicom is not installed; DICOM needs pip install 'radllama[interfaces]'")
    if out.exists():
        raise InputError(f"{out}: is there already; a document is not replaced")
    from radllama.clinical.check import check
    from radllama.drafting.load import load_drafter
    from radllama.interfaces.dicom_sr import make_draft_document, read_dictated, write_document
    from radllama.model import model_folder
    from radllama.weights import digest_weights

    dictated = read_dictated(given)
    drafter = load_drafter(model, device, engine)
    completion = drafter.draft(dictated.findings, dictated.indication)
    for flag in check(dictated.findings, completion.text):
        note(f"{flag.kind}: {flag.message}")
    folder = model_folder(model)
    weights = digest_weights(folder) if folder else ""
    moment = datetime.now(timezone.utc)
    write_document(make_draft_document(dictated, completion.text, drafter.name, weights, moment), out)
    print(out)
