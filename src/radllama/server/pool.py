"""The worker processes: started, restarted when they die, and exchanged for those of another model."""

import asyncio
import multiprocessing
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from radllama.errors import InputError
from radllama.server.jobs import Failure, Job, Load, ModelInfo, Result
from radllama.server.worker import work

_LONGEST_PAUSE_S = 30.0
_CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold


@dataclass(frozen=True, slots=True)
class Spec:
    """How a worker loads its model: a function of a module, and what it is called with."""

    load: Load
    arguments: tuple[Any, ...] = ()


class Worker:
    """One process as the server sees it. `on_piece`, `on_done` and `on_death` are called on the event loop."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.info: ModelInfo | None = None
        self.busy = False
        self.retired = False
        self.started_at = 0.0  # its batch, on the event loop's clock
        self.on_piece: Callable[[int, str], None] = lambda ticket, text: None
        self.on_done: Callable[[Worker, list[tuple[int, Result | Failure]]], None] = lambda worker, outcomes: None
        self.on_death: Callable[[Worker], None] = lambda worker: None
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[ModelInfo] = self._loop.create_future()
        self._ready.add_done_callback(lambda future: future.exception())  # that nobody awaited it is no warning
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=work, args=(theirs, spec.load, spec.arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._loop.add_reader(self._pipe.fileno(), self._read)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    async def ready(self) -> ModelInfo:
        """Wait until the model is loaded. Raises InputError when it cannot be."""
        return await asyncio.shield(self._ready)

    def send(self, batch: list[tuple[int, bool, Job]]) -> None:
        """Give it a batch of (ticket, wants pieces, job)."""
        self.busy = True
        self._tell(("batch", batch))

    def drop(self, ticket: int) -> None:
        """Say that nobody waits for this one any more."""
        self._tell(("drop", ticket))

    def retire(self) -> None:
        """End it: now when it is idle, else after its batch."""
        self.retired = True
        if not self.busy:
            self.close()

    def kill(self) -> None:
        """End it whatever it does; `on_death` follows."""
        self._process.kill()

    def close(self) -> None:
        """Close its pipe, at which it ends, and forget it."""
        self.retired = True
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()
        if not self._ready.done():
            self._ready.set_exception(InputError("the worker was stopped while it was loading"))

    async def join(self, timeout_s: float = 5.0) -> None:
        """Wait for its end; past the time, kill it."""
        await asyncio.to_thread(self._process.join, timeout_s)
        if self._process.is_alive():
            self._process.kill()
            await asyncio.to_thread(self._process.join)

    def _tell(self, message: tuple[Any, ...]) -> None:
        with suppress(OSError):  # it has died: the reader is about to see that
            self._pipe.send(message)

    def _read(self) -> None:
        try:
            while self._pipe.poll():
                self._handle(self._pipe.recv())
                if self._pipe.closed:
                    return
        except (EOFError, OSError):
            self._die()

    def _handle(self, message: tuple[Any, ...]) -> None:
        if message[0] == "piece":
            self.on_piece(message[1], message[2])
        elif message[0] == "done":
            self.busy = False
            self.on_done(self, message[1])
            if self.retired:
                self.close()
        elif message[0] == "ready":
            self.info = message[1]
            self._ready.set_result(message[1])
        elif message[0] == "unfit":
            self._ready.set_exception(InputError(message[1]))
            self.close()

    def _die(self) -> None:
        if not self._ready.done():
            self._ready.set_exception(InputError("the worker died while it was loading the model"))
        self.close()
        self.on_death(self)


class Pool:
    """`count` workers of one model. `on_idle` is called whenever one of them can take a batch."""

    def __init__(self, spec: Spec, count: int = 1) -> None:
        self.spec = spec
        self.info: ModelInfo | None = None  # of the model that is served; None before the start
        self.restarts = 0
        self.on_idle: Callable[[], None] = lambda: None
        self.on_piece: Callable[[int, str], None] = lambda ticket, text: None
        self.on_done: Callable[[Worker, list[tuple[int, Result | Failure]]], None] = lambda worker, outcomes: None
        self.on_death: Callable[[Worker], None] = lambda worker: None
        self._count = count
        self._workers: list[Worker] = []
        self._ending: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause_s = 0.0
        self._closed = False

    @property
    def is_alive(self) -> bool:
        """Whether any worker has its model now; while none has, requests wait for the one being started."""
        return any(worker.info and not worker.retired for worker in self._workers)

    @property
    def workers(self) -> list[Worker]:
        """Those that serve, loading or loaded."""
        return list(self._workers)

    async def start(self) -> ModelInfo:
        """Start the workers; returns when all have their model. Raises InputError when one cannot load it."""
        self._workers, self.info = await self._load(self.spec)
        return self.info

    async def swap(self, spec: Spec) -> ModelInfo:
        """Load another model beside the one served, then serve it. Raises InputError, and changes nothing, if it fails.

        Batches that are under way end on the old model; everything after them is drafted by the new one.
        """
        workers, info = await self._load(spec)
        old, self._workers, self.spec, self.info = self._workers, workers, spec, info
        for worker in old:
            self._retire(worker)
        self.on_idle()
        return info

    def idle(self) -> Worker | None:
        """A worker that can take a batch now."""
        ready = (worker for worker in self._workers if worker.info and not worker.retired)
        return next((worker for worker in ready if not worker.busy), None)

    async def close(self) -> None:
        """End every worker."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        everyone = [*self._workers, *self._ending]
        for worker in everyone:
            worker.close()
        await asyncio.gather(*(worker.join() for worker in everyone), *self._tasks, return_exceptions=True)

    async def _load(self, spec: Spec) -> tuple[list[Worker], ModelInfo]:
        workers = [self._hire(spec) for _ in range(self._count)]
        try:
            infos = [await worker.ready() for worker in workers]
        except BaseException:
            for worker in workers:
                self._retire(worker)
            raise
        return workers, infos[0]

    def _hire(self, spec: Spec) -> Worker:
        worker = Worker(spec)
        worker.on_piece = lambda ticket, text: self.on_piece(ticket, text)
        worker.on_done = self._done
        worker.on_death = self._died
        return worker

    def _retire(self, worker: Worker) -> None:
        worker.retire()
        self._ending.add(worker)
        self.run(self._bury(worker))

    async def _bury(self, worker: Worker) -> None:
        while worker.busy:
            await asyncio.sleep(0.05)
        await worker.join()
        self._ending.discard(worker)

    def _done(self, worker: Worker, outcomes: list[tuple[int, Result | Failure]]) -> None:
        self._pause_s = 0.0
        self.on_done(worker, outcomes)
        self.on_idle()

    def _died(self, worker: Worker) -> None:
        worker.busy = False
        self.on_death(worker)
        if worker in self._workers and not self._closed:
            self.run(self._replace(worker))

    async def _replace(self, dead: Worker) -> None:
        # A model that dies again and again is started ever less often, and never given up.
        while dead in self._workers:
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2 or 0.5)
            self.restarts += 1
            fresh = self._hire(dead.spec)
            fresh.on_death = lambda worker: self.on_death(worker)  # while it loads, this loop looks after it
            try:
                await fresh.ready()
            except InputError:
                await fresh.join()
                continue
            except asyncio.CancelledError:
                fresh.close()
                await fresh.join()
                raise
            if dead not in self._workers:  # another model was swapped in meanwhile
                self._retire(fresh)
                return
            fresh.on_death = self._died
            self._workers[self._workers.index(dead)] = fresh
            self.on_idle()
            return

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run this beside everything else; it is cancelled when the pool is closed."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
