"""A worker: takes mail at its sockets, and answers the supervisor.

It ends when it is told to leave, by SIGTERM, or when the supervisor is gone; each time mails
under way are finished first.

Fails: a start that cannot succeed ends the process with the status of the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millrace.engine.app import App, Stand
from millrace.engine.pipeline.plan import Plan
from millrace.engine.reload import Reloaded
from millrace.engine.settings import Settings
from millrace.engine.telemetry.merging import families, lasting
from millrace.engine.workers.channel import ChildEnd, Data

BEAT_S = 1.0
COUNTED_EACH = 5  # beats; what a crash may lose of the counters
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Worker:
    """One process that takes mail."""

    def __init__(self, settings: Settings, plans: Mapping[str, Plan], stand: Stand) -> None:
        self.app = App(settings, stand)
        self._plans = plans
        self._usage = Usage()
        self._leave = asyncio.Event()
        self._patience = 0.0

    async def run(self, sock: Any) -> None:  # noqa: ANN401 - a socket of a pair
        """From the first connection to the last."""
        talk = ChildEnd(sock, self.answer)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # meant for the supervisor
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave.set)
        await self.app.start(self._plans)
        await talk.run()
        talk.tell("ready", self.app.report())
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(self._beat(talk))
            watching = group.create_task(self.app.watch_lists())
            ended = group.create_task(self._until(talk))
            await ended
            await self.app.stop(patience=self._patience)
            beating.cancel()
            watching.cancel()
        talk.tell("farewell", lasting(families(self.app.metrics.registry)))
        await talk.close()

    async def _until(self, talk: ChildEnd) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._leave, talk.over)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _beat(self, talk: ChildEnd) -> None:
        beats = 0
        while True:
            if beats % COUNTED_EACH == 0:
                talk.tell("counted", lasting(families(self.app.metrics.registry)))
            beats += 1
            await asyncio.sleep(BEAT_S)
            talk.tell("beat", self.app.report() | self._usage.told())

    async def answer(self, what: str, data: Data) -> Data:
        """What the supervisor asks."""
        match what:
            case "metrics":
                return families(self.app.metrics.registry)
            case "health":
                return [health.as_json() for health in await self.app.health()]
            case "needs":
                return self.app.needs()
            case "prepare":
                outcome = await self.app.prepare()
                return (
                    {"revisions": self.app.reloading.prepared}
                    if outcome is None
                    else as_json(outcome)
                )
            case "commit":
                return as_json(self.app.commit())
            case "leave":
                self._patience = float(data)
                self._leave.set()
        return None


def as_json(outcome: Reloaded) -> dict[str, Any]:
    """How a reload ended."""
    return {
        "result": outcome.result,
        "revisions": dict(outcome.revisions),
        "problems": list(outcome.problems),
    }


class Usage:
    """What this process takes, as often as it can be found out."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {"rss": 0, "descriptors": 0}

    def told(self) -> dict[str, Any]:
        """Octets of memory, CPU seconds, open descriptors."""
        # to look takes a descriptor, and a process without one to spare serves on
        with contextlib.suppress(OSError):
            self._last = {
                "rss": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
                "descriptors": len(os.listdir("/proc/self/fd")),
            }
        spent = resource.getrusage(resource.RUSAGE_SELF)
        return self._last | {"cpu": round(spent.ru_utime + spent.ru_stime, 3)}
