"""State in Redis or Valkey: shared by all workers and hosts.

Each operation is one script call, so it is atomic; all that is asked in one turn of the
loop (the filters of a stage, and other mails at that moment) goes out as one pipeline, one
round trip.  A server that does not know a script yet gets its text with the next call.
Every key has a lifetime and begins with `millrace:2:SCOPE:`; `2` is the version of its shape.

Time is the server's own (TIME), so hosts whose clocks differ agree.  What is asked over a
connection that turns out to be closed is asked once more, over a new one: it may be counted
twice then, but a restart of the server fails no mail.  After a time-out nothing is repeated.

Fails: `Unavailable` when the server is away, slow, full, refuses, or answers nonsense;
`Declined` where only this key holds what is not ours.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import NoScriptError, RedisError

from millrace.engine.errors import Declined, Unavailable
from millrace.engine.operations.operation import Operation
from millrace.engine.state.exchange import Command, Exchange
from millrace.engine.state.scripts import whole

T = TypeVar("T")
PREFIX = "millrace:2:"
CONNECTIONS = 8
BATCH_MAX = 128  # operations of one round trip
WAITING_MAX = 10_000
# a script met another type of key, or fields that are no numbers: the next key is another one
_OF_ONE_KEY = re.compile(r"WRONGTYPE|user_script:\d+: (?:attempt to|bad argument)")
_NAMELESS: dict[type[BaseException], str] = {TimeoutError: "gave no answer in time"}


class _Asked(NamedTuple):
    operation: Operation[Any]
    answer: asyncio.Future[Any] | None
    due: float  # by the loop's clock


class RedisState:
    """The State port on a way to Redis; one for each loop.

    `shown` names the server for people.  Not more than `connections` round trips are under
    way; what waits longer than `timeout` seconds for one is not asked at all.
    `now` stands in for the server's clock.
    """

    def __init__(
        self,
        exchange: Exchange,
        shown: str,
        *,
        scope: str = "default",
        connections: int = CONNECTIONS,
        timeout: float = 1.0,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._exchange, self._what = exchange, f"redis {shown}"
        self._prefix = f"{PREFIX}{scope}:"
        self._connections, self._timeout, self._now = connections, timeout, now
        self._waiting: deque[_Asked] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._due_to_launch = False

    async def ask(self, operation: Operation[T]) -> T:
        """Take one step in the next round trip."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._enqueue(operation, answer)
        return await answer

    def tell(self, operation: Operation[Any]) -> None:
        """Take one step in the next round trip; lost when the server is away."""
        if len(self._waiting) < WAITING_MAX:
            self._enqueue(operation, None)

    async def ping(self) -> None:
        """Ask the server whether it is there."""
        try:
            (reply,) = await self._exchange.commands([("PING",)])
        except (TimeoutError, RedisError, OSError) as error:
            raise Unavailable(self._what, _words(error)) from None
        if isinstance(reply, Exception):
            raise Unavailable(self._what, _words(reply))

    async def close(self) -> None:
        """Send what is waiting, then close all connections."""
        while self._waiting or self._under_way:
            self._launch()
            if self._under_way:
                await asyncio.wait(self._under_way)
        await self._exchange.close()

    # --- round trips

    def _enqueue(self, operation: Operation[Any], answer: asyncio.Future[Any] | None) -> None:
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable(self._what, "too much is waiting")
        self._waiting.append(_Asked(operation, answer, self._loop.time() + self._timeout))
        self._launch_soon()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()  # kept: to ask for it is a call of the kernel

    def _launch_soon(self) -> None:
        """At the end of this turn of the loop, so that all who ask in it go together."""
        if self._waiting and not self._due_to_launch and not self._full:
            self._due_to_launch = True
            self._loop.call_soon(self._launch)

    @property
    def _full(self) -> bool:
        return len(self._under_way) >= self._connections

    def _launch(self) -> None:
        self._due_to_launch = False
        if self._waiting and not self._full:
            task = self._loop.create_task(self._round_trip(self._batch(self._loop.time())))
            self._under_way.add(task)
            task.add_done_callback(self._landed)
            self._launch_soon()

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._launch_soon()

    def _batch(self, now: float) -> list[_Asked]:
        """Those who wait longest; who has given up, or is overdue, goes no more."""
        batch: list[_Asked] = []
        while self._waiting and len(batch) < BATCH_MAX:
            asked = self._waiting.popleft()
            if asked.answer is not None and asked.answer.done():
                continue
            if asked.due < now:
                self._fail(asked, "no connection was free in time")
                continue
            batch.append(asked)
        return batch

    async def _round_trip(self, batch: list[_Asked]) -> None:
        try:
            replies = await self._replies([asked.operation for asked in batch])
        except (TimeoutError, RedisError, OSError) as error:
            for asked in batch:
                self._fail(asked, _words(error))
        else:
            for asked, reply in zip(batch, replies, strict=True):
                self._answer(asked, reply)
        finally:
            for asked in batch:  # whatever it was, nobody waits for ever
                self._fail(asked, "the round trip ended by an error of ours")

    def _answer(self, asked: _Asked, reply: Any) -> None:  # noqa: ANN401 - whatever was replied
        if asked.answer is None or asked.answer.done():
            return
        if isinstance(reply, Exception):
            kind = Declined if _OF_ONE_KEY.search(str(reply)) else Unavailable
            self._fail(asked, _words(reply), kind)
            return
        try:
            answer = asked.operation.answer(reply)
        except (TypeError, ValueError, LookupError):
            self._fail(asked, f"an answer that no script of ours gives: {reply!r:.80}")
        else:
            asked.answer.set_result(answer)

    async def _replies(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        """The replies; a script that the server does not know goes again, with its text."""
        replies = await self._exchange.commands(self._calls(operations, by_text=False))
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            calls = self._calls([operations[at] for at in unknown], by_text=True)
            for at, reply in zip(unknown, await self._exchange.commands(calls), strict=True):
                replies[at] = reply
        return replies

    def _calls(self, operations: Sequence[Operation[Any]], *, by_text: bool) -> list[Command]:
        now = "" if self._now is None else repr(self._now())
        calls: list[Command] = []
        for operation in operations:
            text, sha = whole(operation.script)
            script = ("EVAL", text) if by_text else ("EVALSHA", sha)
            keys = [self._prefix + key for key in operation.keys]
            calls.append((*script, len(keys), *keys, now, *operation.arguments))
        return calls

    def _fail(self, asked: _Asked, words: str, kind: type[Unavailable] = Unavailable) -> None:
        if asked.answer is not None and not asked.answer.done():
            asked.answer.set_exception(kind(self._what, words))


def _words(error: BaseException) -> str:
    return str(error) or _NAMELESS.get(type(error)) or type(error).__name__
