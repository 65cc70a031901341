"""`radllama label`."""

from pathlib import Path
from typing import Annotated

import typer

from radllama.console import note


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
