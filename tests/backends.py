"""Backends for the queue's tests: real processes, whose job's findings say what they do instead of drafting."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from radllama.errors import InputError
from radllama.server.jobs import Channel, Choice, Failure, ImpressionJob, Job, ModelInfo, Result


class Obeying:
    """Answers with its name, its process id and how many jobs the batch had, after doing what each job says.

    `sleep SECONDS`, `die` (of kill -9), `die once FILE`, `raise`, `refuse`, `spell WORDS` (word by word), or any text.
    """

    def __init__(self, name: str) -> None:
        self.info = ModelInfo(name, "plain@0", "0" * 64, 1024, frozenset({"streaming"}))

    def run(self, jobs: Sequence[Job], channel: Channel) -> list[Result | Failure]:
        return [self._do(number, job, len(jobs), channel) for number, job in enumerate(jobs)]

    def _do(self, number: int, job: Job, together: int, channel: Channel) -> Result | Failure:
        if isinstance(job, ImpressionJob):
            findings, indication = job.findings, job.indication
        else:
            findings, indication = job.prompt if isinstance(job.prompt, str) else job.prompt[-1][1], ""
        order, _, rest = findings.partition(" ")
        if order == "sleep":
            until = time.monotonic() + float(rest)
            while time.monotonic() < until and channel.is_wanted(number):
                time.sleep(0.01)
        elif order == "spell":
            for word in rest.split(" "):
                channel.piece(number, word + " ")
                if word == "die" and not Path(indication).exists():
                    Path(indication).touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return Result((Choice(rest, "length"),), 3, 2)
        elif order == "die":
            mark = Path(rest.removeprefix("once "))
            if rest == "" or not mark.exists():
                if rest:
                    mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        elif order == "raise":
            raise ValueError(f"a message that quotes {rest}")
        elif order == "refuse":
            raise InputError("refused")
        text = f"{self.info.name} {os.getpid()} {together} {findings}"
        channel.piece(number, text)
        return Result(tuple(Choice(text, "stop") for _ in range(job.n)), 3, 2)


def load_obeying(name: str = "one") -> Obeying:
    """What a worker loads. `broken` cannot be loaded, `dying` dies while it is."""
    if name == "broken":
        raise InputError("no such model")
    if name == "buggy":
        raise ValueError("a message that quotes zebrafinch")
    if name == "dying":
        os.kill(os.getpid(), signal.SIGKILL)
    return Obeying(name)
