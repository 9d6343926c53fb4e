"""A connection whose steps arrive in another thread than the engine's loop.

A crossing costs 30 µs of CPU.  Steps that nobody waits for are gathered, in order, and
cross with the next one that is answered; header fields and the body are put into the
front end from the thread itself, since no crossing is under way then.

Fails: `answers` raises what the front end raises; CancelledError after `cancel`, and
RuntimeError when the loop is closed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from millrace.engine.pipeline.transaction import Serving
from millrace.engine.servers.milter import Bounds, MilterFrontEnd
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer, Command, Terms
from millrace.engine.wire.milter.terms import braced

PROGRESS_S = 10.0  # Postfix waits milter_content_timeout, 300 s, for a word
GATHERED_MAX = 64
T = TypeVar("T")


class Visit:
    """One connection: the front end, and the steps on their way to it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, serving: Serving, name: str, bounds: Bounds
    ) -> None:
        self.terms = Terms(0, 0, 0)
        self.met = False  # whether its peer was named
        self.in_mail = False
        self._loop = loop
        self._crossing: concurrent.futures.Future[Any] | None = None
        self._gathered: list[wire.Event] = []
        self.front = self._cross(_front(serving, name, bounds))

    def note_macros(self, symbol: Callable[[str], str | None], command: int) -> None:
        """Fetch what the front end reads at this step; libmilter keeps the macros."""
        names = self.front.wants.symbols.get(Command(command), ())
        values = {}
        for name in names:
            with contextlib.suppress(UnicodeDecodeError):
                if value := symbol(braced(name)):
                    values[name] = value
        if values:
            self.gather(wire.Macros(command, values))

    def gather(self, event: wire.Event) -> None:
        """Keep a step that nobody waits for; headers and body go straight in if they can."""
        if self._gathered and type(event) is wire.BodyChunk:
            self._flush()
        if self._gathered or not self.front.note(event):
            self._gathered.append(event)
            if len(self._gathered) > GATHERED_MAX:
                self._flush()

    def answers(self, event: wire.Event, progress: Callable[[], object]) -> Sequence[wire.Message]:
        """What the front end says to a step, after all that was gathered."""
        if type(event) in (wire.Header, wire.BodyChunk):
            self.gather(event)
            return (Answer.CONTINUE,)
        self._gathered.append(event)
        return self._flush(progress if event.command is Command.END_OF_MESSAGE else None)

    def cancel(self) -> None:
        """End the crossing that is under way."""
        if self._crossing is not None:
            self._crossing.cancel()

    def _flush(self, progress: Callable[[], object] | None = None) -> Sequence[wire.Message]:
        events, self._gathered = self._gathered, []
        return self._cross(_take(self.front, events), progress)

    def _cross(
        self, work: Coroutine[Any, Any, T], progress: Callable[[], object] | None = None
    ) -> T:
        try:
            crossing = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise
        self._crossing = crossing
        while progress is not None:
            done, _ = concurrent.futures.wait((crossing,), PROGRESS_S)
            if done:
                break
            progress()
        return crossing.result()


async def _front(serving: Serving, name: str, bounds: Bounds) -> MilterFrontEnd:
    return MilterFrontEnd(serving, name, bounds)


async def _take(front: MilterFrontEnd, events: Sequence[wire.Event]) -> Sequence[wire.Message]:
    messages: Sequence[wire.Message] = (Answer.CONTINUE,)
    for event in events:
        if not front.note(event):
            messages = await front.take(event)
    return messages
