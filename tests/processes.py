"""Processes to kill: forked from a server that has the slow imports behind it."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Signal:
    """A signal that a process gets from a thread of its own: another process may not get to run in time.

    It comes as soon as a file in `folder` matches `pattern` and has so many lines.
    """

    number: int
    folder: Path
    pattern: str
    lines: int = 0

    def send(self) -> None:
        while not any(self._is_reached(path) for path in self.folder.glob(self.pattern)):
            time.sleep(0.002)
        os.kill(os.getpid(), self.number)

    def _is_reached(self, path: Path) -> bool:
        return not self.lines or path.read_bytes().count(b"\n") >= self.lines


def start(told: Path, function: Callable[..., Any], *arguments: Any, sent: Signal | None = None) -> Any:
    """Run a module's function in a process of its own, what it says on stderr going to the file `told`."""
    process = _CONTEXT.Process(target=_run, args=(told, function, arguments, sent))
    process.start()
    return process


def _run(told: Path, function: Callable[..., Any], arguments: tuple[Any, ...], sent: Signal | None) -> None:
    sys.stderr = told.open("a", encoding="utf-8", buffering=1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    if sent:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in all that a shell starts behind an "&"
        threading.Thread(target=sent.send, daemon=True).start()
    function(*arguments)
