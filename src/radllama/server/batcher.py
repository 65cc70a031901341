"""The queue: bounded, batched as requests come, and nobody's place is kept longer than somebody waits for it."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field

from radllama.server.jobs import BROKEN, Failure, Job, ModelInfo, Result
from radllama.server.pool import Pool, Worker

_DOOR = 1.25  # of the places: some inside are on their way out, some will be refused for what they ask
_MOST_TRIES = 3  # a worker can die twice beside a request by chance; a request can be what it dies of


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken on. A batch ends at whichever of its three limits comes first."""

    queue: int = 64
    batch_jobs: int = 32
    batch_tokens: int = 16_384
    batch_wait_ms: float = 3.0
    deadline_s: float = 30.0
    stall_s: float = 120.0  # a batch that takes longer than this hangs: its worker is killed


class BusyError(Exception):
    """There is no place in the queue, or none that leads to a worker; try again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LateError(Exception):
    """The deadline passed before the job was done."""


@dataclass(slots=True, eq=False)
class _Ticket:
    number: int
    job: Job
    wants_pieces: bool
    events: "asyncio.Queue[str | Result | Failure]" = field(default_factory=asyncio.Queue)
    sent: str = ""  # the pieces given out so far
    again: str = ""  # those that come a second time, from the worker that took a dead one's place
    tries: int = 0


class Batcher:
    """Takes jobs one by one, gives them to the pool in batches. Lives on one event loop."""

    def __init__(self, pool: Pool, limits: Limits | None = None) -> None:
        self.pool = pool
        self.limits = limits or Limits()
        self.batches = 0
        self.last_batch_jobs = 0
        self._waiting: deque[_Ticket] = deque()
        self._running: dict[int, tuple[_Ticket, Worker]] = {}
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._stalls: dict[Worker, asyncio.TimerHandle] = {}
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._seconds_a_job = 0.05  # of a worker; learned from the batches
        self._promised = 0.0  # when the last one refused was told to come again
        self._inside = 0
        pool.on_idle, pool.on_piece, pool.on_done, pool.on_death = self._wake, self._piece, self._done, self._died

    @property
    def info(self) -> ModelInfo | None:
        """The model that is served now; None while there is none."""
        return self.pool.info

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs that a worker has."""
        return len(self._running)

    @property
    def draining(self) -> bool:
        """Whether it takes no more jobs."""
        return self._draining

    @contextmanager
    def door(self) -> Iterator[None]:
        """Around all that is done for a request, from before it is read.

        Raises BusyError when more are inside than there are places: it must not slow down what was taken on.
        """
        places = self.limits.queue + self.limits.batch_jobs * len(self.pool.workers)
        if self._inside >= _DOOR * places:
            raise self._refuse(self._inside)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def do(self, job: Job) -> Result | Failure:
        """Do one job. Raises BusyError when there is no place for it and LateError past the deadline.

        When the caller is cancelled, its place is free at once.
        """
        async with aclosing(self._follow(job, wants_pieces=False)) as events:
            async for event in events:
                if not isinstance(event, str):
                    return event
        raise AssertionError("a job ends with an outcome")

    def stream(self, job: Job, pieces: bool = True) -> AsyncGenerator[str | Result | Failure, None]:
        """Like `do`, with the draft's characters as they are written, or without; to be closed when nobody reads it."""
        return self._follow(job, pieces)

    async def drain(self, timeout_s: float) -> None:
        """Take no more jobs and wait until those taken are done, or the time has passed."""
        self._draining = True
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)

    async def _follow(self, job: Job, wants_pieces: bool) -> AsyncGenerator[str | Result | Failure, None]:
        ticket = self._admit(job, wants_pieces)
        deadline = asyncio.get_running_loop().time() + self.limits.deadline_s
        try:
            while True:
                left = deadline - asyncio.get_running_loop().time()
                try:
                    event = await asyncio.wait_for(ticket.events.get(), left)
                except asyncio.TimeoutError:
                    raise LateError(f"not done within {self.limits.deadline_s:g} s") from None
                yield event
                if not isinstance(event, str):
                    return
        finally:
            self._leave(ticket)

    def _admit(self, job: Job, wants_pieces: bool) -> _Ticket:
        if self._draining:
            raise BusyError("the server is shutting down", 5)
        if len(self._waiting) >= self.limits.queue and self.pool.idle():
            self._dispatch()  # a queue full of what was about to be sent off is not full
        if len(self._waiting) >= self.limits.queue:
            raise self._refuse(len(self._waiting))
        ticket = _Ticket(next(self._numbers), job, wants_pieces)
        self._waiting.append(ticket)
        self._empty.clear()
        self._wake()
        return ticket

    def _refuse(self, waiting: int) -> BusyError:
        """Each is told a time of its own, as if they queued outside: all at once they would be refused again."""
        now, seconds = asyncio.get_running_loop().time(), self._seconds_a_job / max(1, len(self.pool.workers))
        again = min(max(self._promised, now + len(self._waiting) * seconds), now + self.limits.deadline_s)
        self._promised = again + seconds
        return BusyError(f"{waiting} requests are waiting already", max(1, round(again - now)))

    def _leave(self, ticket: _Ticket) -> None:
        with suppress(ValueError):
            self._waiting.remove(ticket)
        _, worker = self._running.pop(ticket.number, (None, None))
        if worker is not None:
            worker.drop(ticket.number)
        if not self._waiting and not self._running:
            self._empty.set()

    def _wake(self) -> None:
        """Send off a batch now if it is full, else when the first of it has waited long enough."""
        if self._timer is None and self._waiting and self.pool.idle():
            full = len(self._waiting) >= self.limits.batch_jobs
            delay = 0.0 if full else self.limits.batch_wait_ms / 1000
            self._timer = asyncio.get_running_loop().call_later(delay, self._dispatch)

    def _dispatch(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._waiting and (worker := self.pool.idle()):
            batch = self._take()
            for ticket in batch:
                ticket.tries += 1
                ticket.again = ticket.sent
                self._running[ticket.number] = (ticket, worker)
            self.batches, self.last_batch_jobs = self.batches + 1, len(batch)
            loop = asyncio.get_running_loop()
            self._stalls[worker] = loop.call_later(self.limits.stall_s, worker.kill)
            worker.started_at = loop.time()
            worker.send([(ticket.number, ticket.wants_pieces, ticket.job) for ticket in batch])

    def _take(self) -> list[_Ticket]:
        batch, tokens = [self._waiting.popleft()], 0
        tokens = batch[0].job.size
        if batch[0].tries:  # a worker died with it: if it was the reason, it takes no other along again
            return batch
        while self._waiting and len(batch) < self.limits.batch_jobs and not self._waiting[0].tries:
            tokens += self._waiting[0].job.size
            if tokens > self.limits.batch_tokens:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _piece(self, number: int, text: str) -> None:
        ticket, _ = self._running.get(number, (None, None))
        if ticket is None:
            return
        if ticket.again:
            ticket.again, text = ticket.again[len(text) :], text[len(ticket.again) :]
        if text:
            ticket.sent += text
            ticket.events.put_nowait(text)

    def _done(self, worker: Worker, outcomes: list[tuple[int, Result | Failure]]) -> None:
        if stall := self._stalls.pop(worker, None):
            stall.cancel()
        seconds = (asyncio.get_running_loop().time() - worker.started_at) / len(outcomes)
        self._seconds_a_job += (seconds - self._seconds_a_job) / 10
        for number, outcome in outcomes:
            ticket, _ = self._running.pop(number, (None, None))
            if ticket is not None:
                ticket.events.put_nowait(outcome)

    def _died(self, worker: Worker) -> None:
        if stall := self._stalls.pop(worker, None):
            stall.cancel()
        orphans = [ticket for ticket, theirs in self._running.values() if theirs is worker]
        for ticket in reversed(orphans):
            del self._running[ticket.number]
            if ticket.tries >= _MOST_TRIES:
                ticket.events.put_nowait(Failure(BROKEN, f"{ticket.tries} workers died while they did this request"))
            else:
                self._waiting.appendleft(ticket)
