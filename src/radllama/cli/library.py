"""`radllama library`: build an index over a department's prior reports."""

from pathlib import Path
from typing import Annotated

import typer

library_app = typer.Typer(
    help="Index prior reports, for drafting with neighbours.", no_args_is_help=True, rich_markup_mode=None
)


@library_app.command("build")
def library_build(
    data: Annotated[Path, typer.Option(help="The dataset folder.")],
    out: Annotated[Path, typer.Option(help="The library folder to write; it holds the reports' text.")],
    parts: Annotated[str, typer.Option(help="Which parts to index: train, or train,valid.")] = "train",
) -> None:
    """Index the prior reports of a dataset by their findings; never those of its test part."""
    from radllama.library.folder import build_library

    library = build_library(data, out, [part.strip() for part in parts.split(",")])
    print(f"{out}: {len(library):,} reports")
