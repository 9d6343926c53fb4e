"""A lane: one thread beside the loop that takes all that waits in one go.

For work that must not block the loop and is cheaper together: a database transaction, a
group commit.  What waits while the thread is busy becomes its next batch.

Fails: `ask` raises `Unavailable` when too much waits, or what the work says of its job.  Work
that raises fails its own batch alone: a new thread takes what comes after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from millrace.engine.errors import Unavailable

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class _Asked(NamedTuple):
    job: object
    answer: asyncio.Future[object] | None  # None: nobody waits for it
    loop: asyncio.AbstractEventLoop


class Lane(Generic[Job, Answer]):
    """`work` takes a batch and answers each job, in their order, in the thread of the lane.

    `what` names the service for people; the thread starts with the first job.
    """

    def __init__(
        self,
        what: str,
        work: Callable[[list[Job]], Sequence[Answer | Unavailable]],
        *,
        batch_max: int,
        waiting_max: int,
    ) -> None:
        self._what = what
        self._work = work
        self._batch_max = batch_max
        self._asked: queue.Queue[_Asked | None] = queue.Queue(waiting_max)
        self._thread: threading.Thread | None = None

    async def ask(self, job: Job) -> Answer:
        """Wait for the batch that this job becomes a part of."""
        self._start_once()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()
        try:
            self._asked.put_nowait(_Asked(job, answer, loop))
        except queue.Full:
            raise Unavailable(self._what, "too much is waiting") from None
        found: Answer = await answer  # type: ignore[assignment]
        return found

    def tell(self, job: Job) -> None:
        """Have it done with the next batch; lost when too much waits, or when it fails."""
        self._start_once()
        with contextlib.suppress(queue.Full):
            self._asked.put_nowait(_Asked(job, None, asyncio.get_running_loop()))

    def _start_once(self) -> None:
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._what, daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Do what is waiting, then end the thread."""
        if self._thread is not None:
            self._asked.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    # --- in the thread

    def _run(self) -> None:
        while (batch := self._batch()) is not None:
            self._take(batch)

    def _take(self, batch: list[_Asked]) -> None:
        jobs: list[Job] = [asked.job for asked in batch]  # type: ignore[misc]
        answers: Sequence[Answer | Unavailable] | None = None
        try:
            answers = self._work(jobs)
        finally:
            if answers is None:  # this thread ends by what was raised, and must not be the last
                answers = [Unavailable(self._what, "an error of ours, told in the log")] * len(jobs)
                self._start()
            _tell(batch, answers)

    def _batch(self) -> list[_Asked] | None:
        first = self._asked.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._batch_max:
            try:
                more = self._asked.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._asked.put(None)
                break
            batch.append(more)
        return batch


def _tell(batch: list[_Asked], answers: Sequence[object]) -> None:
    """Hand the answers to their loops, one wake-up for each loop."""
    told = [
        (a.loop, a.answer, r) for a, r in zip(batch, answers, strict=True) if a.answer is not None
    ]
    for loop in {loop for loop, _, _ in told}:
        mine = [(answer, r) for its, answer, r in told if its is loop]
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits any more
            loop.call_soon_threadsafe(_set, mine)


def _set(answers: list[tuple[asyncio.Future[object], object]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Unavailable):
            future.set_exception(answer)
        else:
            future.set_result(answer)
