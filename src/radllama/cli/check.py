"""`radllama check`."""

from pathlib import Path
from typing import Annotated

import typer

from radllama.console import note


def check(
    drafts: Annotated[Path, typer.Option("--in", help="A .jsonl: id, findings and draft a line, as `draft` writes.")],
    out: Annotated[Path, typer.Option(help="The .jsonl of the same lines with flags.")],
    library: Annotated[
        Path | None, typer.Option(help="A library of prior reports: the department's customary advice is no flag.")
    ] = None,
) -> None:
    """Hold each draft against its findings by rules, and flag what does not agree."""
    from radllama.clinical.check import FLAG_KINDS
    from radllama.clinical.check_file import check_file
    from radllama.library.folder import read_library

    counts = check_file(drafts, out, read_library(library) if library else None)
    note(f"{counts['drafts'] - counts['abstained']} drafts checked, {counts['flagged']} with a flag")
    for kind in FLAG_KINDS:
        if counts[kind]:
            note(f"  {kind:<15}{counts[kind]:>6}")
    print(out)
