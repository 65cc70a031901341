"""Processes to kill: forked from a server that has the slow imports behind it."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "transformers.models.llama.modeling_llama",
        "transformers.generation.utils",
        "peft",
        "accelerate",
        "rouge_score.rouge_scorer",
        "radllama.training.train",
        "radllama.drafting.draft",
    ]
)


def start(told: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a module's function in a process of its own, what it says on stderr going to the file `told`."""
    process = _CONTEXT.Process(target=_run, args=(told, function, arguments))
    process.start()
    return process


def _run(told: Path, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    sys.stderr = told.open("a", encoding="utf-8", buffering=1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    function(*arguments)
