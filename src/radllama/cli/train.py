"""`radllama train`."""

from pathlib import Path
from typing import Annotated

import typer

from radllama.errors import InputError


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe; complete ones stand in recipes/.")],
    data: Annotated[Path | None, typer.Option(help="The dataset folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to write.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace the recipe's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take, and load nothing.")] = False,
) -> None:
    """Tune a model on a dataset's train split."""
    from radllama.recipe import read_recipe

    chosen = read_recipe(recipe, overrides)  # before the slow imports: mistakes are told at once
    if plan:
        from radllama.training.plan import plan as make_plan
        from radllama.training.plan import render_plan

        print(render_plan(make_plan(chosen, data)))
        return
    if data is None or out is None:
        raise InputError("give --data DATASET and --out RUN, or --plan to see what the recipe takes")
    from radllama.training.train import train as run_training

    run_training(chosen, data, out, resume)
    print(out)
