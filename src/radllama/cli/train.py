"""`radllama train`."""

from pathlib import Path
from typing import Annotated

import typer


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
    from radllama.training.train import train as run_training

    run_training(chosen, data, out, resume)
    print(out)
