"""Jobs as processes, a few at a time: one that fails, or is killed, is told in a line and stops no other."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from radllama.console import note
from radllama.errors import InputError
from radllama.study.job import CELLS_FAILED, LOG_FILE

_POLL_S = 0.05
_LOCK_FILE = ".lock"
_SIGNALLED = "killed by signal {}; out of memory is the usual reason (see {})"


@dataclass(frozen=True, slots=True)
class Places:
    """Where jobs run: so many at once, each with these GPUs (none: the CPU) and so many processes."""

    gpus: tuple[tuple[str, ...], ...]
    jobs: int
    processes: int
    threads: int

    @property
    def device(self) -> str:
        """What drafting is told: the GPUs that a job sees are numbered from 0."""
        return "cuda" if self.gpus else "cpu"


def find_places(jobs: int | None, per_cell: int) -> Places:
    """One job a GPU (or `per_cell` GPUs a job); without a GPU, `jobs` share the processor's cores."""
    gpus = _visible_gpus()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if gpus:
        if per_cell > len(gpus):
            raise InputError(f"--per-cell {per_cell}: there are {len(gpus)} GPUs here")
        groups = tuple(tuple(gpus[at : at + per_cell]) for at in range(0, len(gpus) - per_cell + 1, per_cell))
        return Places(groups, min(jobs or len(groups), len(groups)), per_cell, max(1, cores // len(gpus)))
    jobs = jobs or 1
    return Places((), jobs, per_cell, max(1, cores // (jobs * per_cell)))


def _visible_gpus() -> list[str]:
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(at) for at in range(count)]


@contextmanager
def claim(out: Path) -> Iterator[int]:
    """Hold a folder of studies for this process and its jobs (which are given the descriptor that is yielded).

    Raises InputError while another study, or a job that outlived its study, is at work there.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{out}: runs of a study are still at work there; wait for them, or end them") from None
        yield lock.fileno()


def run_jobs(folders: Sequence[Path], places: Places, lock: int, done: Callable[[Path, str | None], None]) -> None:
    """Run each job folder in a process of its own; `done` is told of each as it ends, and why it failed if it did.

    A Ctrl-C reaches the jobs too: they save and end, and KeyboardInterrupt is raised when all have.
    """
    waiting = list(folders)
    running: dict[Path, tuple[subprocess.Popen[bytes], int]] = {}
    free = list(range(places.jobs))
    try:
        while waiting or running:
            while waiting and free:
                folder, place = waiting.pop(0), free.pop(0)
                running[folder] = (_start(folder, places, place, lock), place)
            time.sleep(_POLL_S)
            for folder, (process, place) in list(running.items()):
                if process.poll() is not None:
                    del running[folder]
                    free.append(place)
                    done(folder, _why(process.returncode, folder / LOG_FILE))
    finally:
        if running:
            note(f"waiting for {len(running)} runs to save and end")
            for process, _ in running.values():
                process.wait()


def _start(folder: Path, places: Places, place: int, lock: int) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.setdefault("OMP_NUM_THREADS", str(places.threads))
    if places.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(places.gpus[place])
    command = [sys.executable, "-m", "radllama.study.job", str(folder)]
    if places.processes > 1:
        if not places.gpus:
            environment["ACCELERATE_USE_CPU"] = "true"  # or each process would take itself for the only one
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(places.processes)]
        command = [sys.executable, *launcher, *command[1:]]
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,)
        )


def _why(code: int, log: Path) -> str | None:
    """Why a job failed as a whole; None where it did not, even if some of its cells did."""
    if code in (0, CELLS_FAILED):
        return None
    if code < 0:
        return _SIGNALLED.format(-code, log)
    told = [line for line in _last_lines(log) if line.startswith("radllama: ")]
    return told[-1].removeprefix("radllama: ") if told else f"ended with exit code {code}; see {log}"


def _last_lines(log: Path) -> Iterator[str]:
    raw = log.read_bytes()[-20_000:]
    yield from raw.decode("utf-8", "replace").replace("\r", "\n").splitlines()
