"""Note mails for aggregate reports: counted in memory, written soon after.

A mail costs the loop one look at its facts and one count; mails alike share a row, and
one lane writes them together.  A crash loses what the last seconds counted, no more.

A store that is away stops no mail: it is said once in the log, the counts wait for it up
to a bound, and what does not fit any more is counted as lost.

Fails: never.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from millrace.engine.errors import Unavailable
from millrace.engine.lane import Lane
from millrace.engine.mailauth.reports.aggregate import DAY_S
from millrace.engine.policy.decision import Decision
from millrace.engine.ports import Clock
from millrace.engine.store.observation import observe
from millrace.engine.store.reports import Key, ReportStore, key_of

_log = logging.getLogger("millrace.reports")
DELAY_S = 2.0
EARLY_AT = 1_000  # kinds of mail that are written before the delay is over
WAITING_MAX = 20_000


class Noting:
    """One process's way to the store; `reporter` is the address that sends our reports."""

    def __init__(self, store: ReportStore, clock: Clock, reporter: str = "") -> None:
        self._store = store
        self._clock = clock
        self._reporter = reporter.lower()
        self._waiting: dict[Key, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._lane: Lane[dict[Key, int], None] = Lane(
            f"report store {store.path}", self._write, batch_max=1, waiting_max=4
        )
        self.trouble = ""
        self.lost = 0

    def note(self, decision: Decision) -> None:
        """Count one mail, if its author's domain wants to hear of it."""
        seen = observe(decision, self._reporter)
        if seen is None:
            return
        key = key_of(int(decision.time // DAY_S), seen)
        waiting = self._waiting
        if key not in waiting and len(waiting) >= WAITING_MAX:
            self._lose(1)
            return
        waiting[key] = waiting.get(key, 0) + 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self.flush)
        elif len(waiting) == EARLY_AT:
            self.flush()

    def flush(self) -> None:
        """Begin to write what was counted; what comes meanwhile waits for the next time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None or not self._waiting:
            return
        tally, self._waiting = self._waiting, {}
        self._writing = asyncio.get_running_loop().create_task(self._hand_over(tally))

    async def _hand_over(self, tally: dict[Key, int]) -> None:
        try:
            await self._lane.ask(tally)
            self.trouble = ""
        except Unavailable as error:
            if not self.trouble:
                _log.error("mails are not noted for reports: %s", error)
            self.trouble = error.detail or str(error)
            self._put_back(tally)
        finally:
            self._writing = None
            if self._waiting and self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(DELAY_S, self.flush)

    def _put_back(self, tally: dict[Key, int]) -> None:
        for key, count in tally.items():
            if key in self._waiting or len(self._waiting) < WAITING_MAX:
                self._waiting[key] = self._waiting.get(key, 0) + count
            else:
                self._lose(count)

    def _lose(self, count: int) -> None:
        if not self.lost:
            _log.error("more mails than can wait are not noted for reports: they are lost to them")
        self.lost += count

    def _write(self, batch: list[dict[Key, int]]) -> Sequence[Unavailable | None]:
        """In the lane's thread."""
        try:
            for tally in batch:
                self._store.note(tally, self._clock.now())
        except Unavailable as error:
            return [error] * len(batch)
        return [None] * len(batch)

    async def close(self) -> None:
        """Write what was counted, then let go of the file."""
        if self._writing is not None:
            await self._writing
        self.flush()
        if self._writing is not None:
            await self._writing
        if self._timer is not None:
            self._timer.cancel()
        await self._lane.close()
        self._store.close()
