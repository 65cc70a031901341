"""`radllama doctor`."""

import json
import sys
from typing import Annotated

import typer

from radllama.console import note


def doctor(
    model: Annotated[str, typer.Argument(help="A run or model folder, a hub name, or mini (embedded).")] = "mini",
    url: Annotated[
        str | None, typer.Option(help="A server that has it too (radllama serve, vLLM): are its drafts the same?")
    ] = None,
    served_name: Annotated[
        str | None, typer.Option(help="The model's name at that server. [default: the only one it lists]")
    ] = None,
    key_variable: Annotated[
        str, typer.Option(help="The environment variable that holds the server's key.")
    ] = "OPENAI_API_KEY",
    probes: Annotated[int, typer.Option(min=1, help="Synthetic reports to draft from.")] = 8,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON.")] = False,
) -> None:
    """Check that what drafts is what was trained: a table of pass and fail, and what to do."""
    from radllama.doctor.doctor import count_failed, examine, render_table
    from radllama.doctor.served import Served
    from radllama.doctor.subject import Subject

    served = Served(url, served_name, key_variable) if url else None
    outcomes = examine(Subject(model, probes, device, served))
    if as_json:
        print(json.dumps({name: one.to_json() for name, one in outcomes.items()}, indent=2))
    else:
        from rich.console import Console

        Console().print(render_table(outcomes))
    if count := count_failed(outcomes):
        note(f"{count} of {len(outcomes)} checks failed")
        sys.exit(1)
