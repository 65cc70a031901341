"""A worker: a process that loads one model and does batches of jobs until its pipe closes.

It is a process, not a thread, so that a crash in native code takes nothing else along and the server's event loop
never waits for Python's lock. Messages are tuples, their first item the kind:

    to the worker     ("batch", [(ticket, wants_pieces, job), ...])   ("drop", ticket)
    from the worker   ("ready", ModelInfo)   ("unfit", message)   ("piece", ticket, text)
                      ("done", [(ticket, Result | Failure), ...])
"""

import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from radllama.errors import EndpointError, InputError
from radllama.server.jobs import BROKEN, ELSEWHERE, IMPOSSIBLE, Backend, Failure, Job, Load, Result, Silent
from radllama.web.trace import describe


def work(pipe: Connection, load: Load, arguments: tuple[Any, ...]) -> None:
    """The worker's main function. `load` must be a function of a module, which the new process can import."""
    # Ctrl-C and SIGTERM reach the whole group; the server decides what they mean, and closes the pipe.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        try:
            backend = load(*arguments)
        except InputError as error:
            pipe.send(("unfit", str(error)))
            return
        except Exception as error:
            pipe.send(("unfit", f"the model cannot be loaded: {describe(error)}"))
            return
        pipe.send(("ready", backend.info))
        _serve(backend, pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the server is gone: nothing to tidy, and threads of native code need not be asked


def _serve(backend: Backend, pipe: Connection) -> None:
    dropped: set[int] = set()
    while True:
        kind, payload = pipe.recv()
        if kind == "batch":
            dropped.clear()
            pipe.send(("done", _run(backend, payload, pipe, dropped)))


class _Channel:
    def __init__(self, tickets: list[tuple[int, bool]], pipe: Connection, dropped: set[int]) -> None:
        self._tickets, self._pipe, self._dropped = tickets, pipe, dropped

    def piece(self, job: int, text: str) -> None:
        ticket, wanted = self._tickets[job]
        if wanted and text:
            self._pipe.send(("piece", ticket, text))

    def wants_pieces(self, job: int) -> bool:
        return self._tickets[job][1]

    def is_wanted(self, job: int) -> bool:
        while self._pipe.poll():
            kind, payload = self._pipe.recv()
            if kind == "drop":
                self._dropped.add(payload)
        return self._tickets[job][0] not in self._dropped


def _run(
    backend: Backend, batch: list[tuple[int, bool, Job]], pipe: Connection, dropped: set[int]
) -> list[tuple[int, Result | Failure]]:
    channel = _Channel([(ticket, wants_pieces) for ticket, wants_pieces, _ in batch], pipe, dropped)
    jobs = [job for _, _, job in batch]
    outcomes: Sequence[Result | Failure]
    try:
        outcomes = backend.run(jobs, channel)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        outcomes = [_run_alone(backend, job, error) for job in jobs]
    return [(ticket, outcome) for (ticket, _, _), outcome in zip(batch, outcomes, strict=True)]


def _run_alone(backend: Backend, job: Job, batch_error: Exception) -> Result | Failure:
    # One job's error is no reason to fail its neighbours in the batch. What was said is not said again.
    try:
        return backend.run([job], Silent())[0]
    except EndpointError as error:
        return Failure(ELSEWHERE, str(error), error.param)
    except InputError as error:
        return Failure(IMPOSSIBLE, str(error))
    except Exception as error:
        return Failure(BROKEN, describe(error))
