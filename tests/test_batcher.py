"""The queue over real worker processes: batched, bounded, and nothing is lost when one of them dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from backends import load_obeying

from radllama.errors import InputError
from radllama.server.batcher import Batcher, BusyError, LateError, Limits
from radllama.server.jobs import BROKEN, IMPOSSIBLE, Failure, ImpressionJob, Result
from radllama.server.pool import Pool, Spec

pytestmark = pytest.mark.anyio
ONE = Spec(load_obeying, ("one",))


def job(findings: str, **options: Any) -> ImpressionJob:
    return ImpressionJob(findings, **options)


def said(outcome: Result | Failure) -> list[str]:
    """[the model's name, the worker's process id, jobs in the batch, the findings' words...]."""
    assert isinstance(outcome, Result)
    return outcome.choices[0].text.split()


@asynccontextmanager
async def opened(spec: Spec = ONE, workers: int = 1, **limits: Any) -> AsyncIterator[Batcher]:
    pool = Pool(spec, workers)
    batcher = Batcher(pool, Limits(**limits))
    await pool.start()
    try:
        yield batcher
    finally:
        await pool.close()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true within ten seconds")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_job_comes_back_from_the_worker() -> None:
    async with opened() as batcher:
        assert said(await batcher.do(job("clear lungs")))[::3] == ["one", "clear"]
        assert batcher.info is not None
        assert batcher.info.name == "one"
        assert (batcher.waiting, batcher.running) == (0, 0)


async def test_what_comes_while_a_batch_runs_is_the_next_batch_in_order() -> None:
    async with opened(batch_jobs=4) as batcher:
        first = asyncio.create_task(batcher.do(job("sleep 0.3")))
        await until(lambda: batcher.running == 1)
        rest = [asyncio.create_task(batcher.do(job(f"number {number}"))) for number in range(6)]
        assert said(await first)[2] == "1"
        assert [said(await one)[2] for one in rest] == ["4", "4", "4", "4", "2", "2"]
        assert batcher.batches == 3


async def test_a_batch_is_bounded_by_tokens_too() -> None:
    async with opened(batch_tokens=600) as batcher:
        first = asyncio.create_task(batcher.do(job("sleep 0.3")))
        await until(lambda: batcher.running == 1)
        rest = [asyncio.create_task(batcher.do(job("x" * 400, max_new_tokens=50))) for _ in range(5)]  # 250 each
        await first
        assert [said(await one)[2] for one in rest] == ["2", "2", "2", "2", "1"]


async def test_a_job_larger_than_a_batch_runs_alone() -> None:
    async with opened(batch_tokens=10) as batcher:
        assert said(await batcher.do(job("large")))[2] == "1"


async def test_beyond_its_limit_the_queue_says_when_to_come_again() -> None:
    async with opened(queue=2, batch_jobs=1) as batcher:
        taken = [asyncio.create_task(batcher.do(job("sleep 0.2")))]
        await until(lambda: batcher.running == 1)
        taken += [asyncio.create_task(batcher.do(job("sleep 0"))) for _ in range(2)]
        await until(lambda: batcher.waiting == 2)
        with pytest.raises(BusyError, match="2 requests are waiting already") as busy:
            await batcher.do(job("no place"))
        assert busy.value.retry_after_s >= 1
        assert len([said(await one) for one in taken]) == 3
        assert said(await batcher.do(job("place again")))[3:] == ["place", "again"]


async def test_a_queue_is_not_full_while_a_worker_is_idle() -> None:
    async with opened(queue=1, batch_jobs=1, batch_wait_ms=1000) as batcher:
        both = [asyncio.create_task(batcher.do(job("sleep 0"))) for _ in range(2)]
        assert len([said(outcome) for outcome in await asyncio.gather(*both)]) == 2


async def test_those_who_are_refused_are_told_to_come_one_after_the_other() -> None:
    async with opened(queue=1, batch_jobs=1, deadline_s=3) as batcher:
        taken = [asyncio.create_task(batcher.do(job("sleep 0.3")))]
        await until(lambda: batcher.running == 1)
        taken.append(asyncio.create_task(batcher.do(job("sleep 0.3"))))
        await until(lambda: batcher.waiting == 1)
        told = []
        for _ in range(100):
            with pytest.raises(BusyError) as busy:
                await batcher.do(job("no place"))
            told.append(busy.value.retry_after_s)
        assert told == sorted(told)
        assert set(told) == {1, 2, 3}  # and none later than any job may wait
        await asyncio.gather(*taken)


async def test_the_door_lets_in_a_few_more_than_there_are_places_for() -> None:
    async with opened(queue=6, batch_jobs=2) as batcher:
        with ExitStack() as inside:
            for _ in range(10):
                inside.enter_context(batcher.door())
            with pytest.raises(BusyError, match="10 requests are waiting already"):
                inside.enter_context(batcher.door())
        with batcher.door():
            pass


async def test_a_deadline_frees_the_place_of_a_job_that_waits_or_runs() -> None:
    async with opened(deadline_s=0.2, batch_jobs=1) as batcher:
        both = [asyncio.create_task(batcher.do(job("sleep 30"))) for _ in range(2)]
        for one in both:
            with pytest.raises(LateError, match=r"not done within 0\.2 s"):
                await one
        assert (batcher.waiting, batcher.running) == (0, 0)
        await until(lambda: batcher.pool.idle() is not None)  # the worker heard that nobody waits


async def test_a_caller_who_hangs_up_frees_its_place() -> None:
    async with opened(batch_jobs=1) as batcher:
        running, waiting = (asyncio.create_task(batcher.do(job("sleep 30"))) for _ in range(2))
        await until(lambda: batcher.running == 1 and batcher.waiting == 1)
        for one in (waiting, running):
            one.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        assert (batcher.waiting, batcher.running) == (0, 0)
        assert said(await batcher.do(job("next")))[3] == "next"


async def test_pieces_come_before_the_outcome() -> None:
    async with opened() as batcher:
        events = [event async for event in batcher.stream(job("spell no focal opacity"))]
        assert events[:-1] == ["no ", "focal ", "opacity "]
        assert isinstance(events[-1], Result)
        assert isinstance(await batcher.do(job("spell nobody reads these")), Result)


async def test_a_killed_workers_jobs_are_done_by_the_next() -> None:
    async with opened() as batcher:
        before = batcher.pool.workers[0].pid
        running = [asyncio.create_task(batcher.do(job("sleep 0.5"))) for _ in range(3)]
        await until(lambda: batcher.running == 3)
        waiting = [asyncio.create_task(batcher.do(job("next"))) for _ in range(3)]
        await until(lambda: batcher.waiting == 3)
        os.kill(before, signal.SIGKILL)
        outcomes = [said(await one) for one in running + waiting]
        assert [words[3] for words in outcomes] == ["sleep"] * 3 + ["next"] * 3
        assert str(before) not in {words[1] for words in outcomes}
        assert batcher.pool.restarts == 1


async def test_a_job_that_kills_its_workers_takes_no_other_along(tmp_path: Path) -> None:
    async with opened() as batcher:
        poison = asyncio.create_task(batcher.do(job("die")))
        others = [asyncio.create_task(batcher.do(job(f"other {number}"))) for number in range(3)]
        assert await poison == Failure(BROKEN, "3 workers died while they did this request")
        assert [said(await other)[3] for other in others] == ["other"] * 3
        assert batcher.pool.restarts == 3


async def test_a_stream_goes_on_after_a_crash_where_it_stopped(tmp_path: Path) -> None:
    async with opened() as batcher:
        events = [event async for event in batcher.stream(job("spell a die b", indication=str(tmp_path / "mark")))]
        assert events[:-1] == ["a ", "die ", "b "]
        assert batcher.pool.restarts == 1


async def test_a_worker_that_hangs_is_killed_and_its_job_tried_again(tmp_path: Path) -> None:
    async with opened(stall_s=0.3) as batcher:
        assert await batcher.do(job("sleep 20")) == Failure(BROKEN, "3 workers died while they did this request")
        assert said(await batcher.do(job("next")))[3] == "next"


async def test_an_error_fails_its_own_job_alone_and_quotes_nothing() -> None:
    async with opened() as batcher:
        first = asyncio.create_task(batcher.do(job("sleep 0.2")))
        await until(lambda: batcher.running == 1)
        jobs = ["raise zebrafinch", "well", "refuse", "well"]
        bug, well, refused, again = await asyncio.gather(*(batcher.do(job(order)) for order in jobs))
        await first
        assert isinstance(bug, Failure)
        assert bug.kind == BROKEN
        assert bug.message.startswith("ValueError at backends.py:")
        assert "zebrafinch" not in bug.message
        assert refused == Failure(IMPOSSIBLE, "refused")
        assert said(well)[3] == said(again)[3] == "well"
        assert batcher.pool.restarts == 0


async def test_two_workers_work_at_once() -> None:
    async with opened(workers=2, batch_jobs=1) as batcher:
        outcomes = await asyncio.gather(*(batcher.do(job("sleep 0.2")) for _ in range(4)))
        assert len({said(outcome)[1] for outcome in outcomes}) == 2


async def test_another_model_takes_over_without_a_failed_job() -> None:
    async with opened() as batcher:
        old = batcher.pool.workers[0].pid
        under_way = asyncio.create_task(batcher.do(job("sleep 2")))
        await until(lambda: batcher.running == 1)
        info = await batcher.pool.swap(Spec(load_obeying, ("two",)))
        assert batcher.info is info
        assert info.name == "two"
        assert said(await batcher.do(job("next")))[0] == "two"
        assert said(await under_way)[0] == "one"
        await until(lambda: not alive(old))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", "no such model"),
        ("buggy", r"cannot be loaded: ValueError at backends\.py:\d+ load_obeying"),
        ("dying", "died while it was loading"),
    ],
)
async def test_a_model_that_cannot_be_loaded_changes_nothing(name: str, told: str) -> None:
    async with opened() as batcher:
        with pytest.raises(InputError, match=told) as error:
            await batcher.pool.swap(Spec(load_obeying, (name,)))
        assert "zebrafinch" not in str(error.value)
        assert said(await batcher.do(job("next")))[0] == "one"


async def test_draining_finishes_what_was_taken_and_takes_no_more() -> None:
    async with opened(batch_jobs=1) as batcher:
        taken = [asyncio.create_task(batcher.do(job("sleep 0.1"))) for _ in range(3)]
        await until(lambda: batcher.waiting == 2)
        draining = asyncio.create_task(batcher.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="shutting down"):
            await batcher.do(job("late"))
        await draining
        assert batcher.draining
        assert len([said(await one) for one in taken]) == 3


async def test_draining_ends_with_its_time() -> None:
    async with opened() as batcher:
        stuck = asyncio.create_task(batcher.do(job("sleep 30")))
        await until(lambda: batcher.running == 1)
        await batcher.drain(0.1)
        assert not stuck.done()
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)


async def test_workers_end_when_the_pool_is_closed() -> None:
    async with opened(workers=2) as batcher:
        pids = [worker.pid for worker in batcher.pool.workers]
    assert not any(map(alive, pids))
