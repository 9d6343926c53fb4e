"""A proxy before Redis that delays, slices, and cuts connections; each goes at its own pace."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from typing import Self


class Faulty:
    """A door on a free port, in a thread of its own; `cuts` is the chance for each piece."""

    def __init__(self, port: int, *, late: float = 0.004, cuts: float = 0.0) -> None:
        self.service, self.late, self.cuts = port, late, cuts
        self.port = 0
        self._chance = random.Random(7208)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._links: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._link, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._end())
        self._loop.run_until_complete(asyncio.sleep(0.01))  # for transports to close
        self._loop.close()

    async def _end(self) -> None:
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.service)
        ways = [self._way(reader, to_writer), self._way(to_reader, writer)]
        going = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in going:
                each.cancel()
            await asyncio.gather(*going, return_exceptions=True)
            for each in (writer, to_writer):
                each.transport.abort()
            self._links.discard(task)

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(self._chance.choice([1, 7, 100, 4096])):
                await asyncio.sleep(self._chance.random() * self.late)
                if self._chance.random() < self.cuts:
                    return
                writer.write(piece)
                await writer.drain()
