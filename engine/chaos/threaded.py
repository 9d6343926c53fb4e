"""Fault proxies in a thread of their own, for whoever has no loop: tests, drills.

    with Faults() as faults:
        redis = faults.stream(Endpoint.parse("inet:6379@127.0.0.1"))
        faults.change(redis.add, "slow", Latency(200))
        faults.wait(redis.down())

Fails: what the proxy raises, in the caller's thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Self, TypeVar

from millrace.engine.chaos.datagrams import Address, DatagramProxy
from millrace.engine.chaos.proxy import Proxy
from millrace.engine.net.endpoint import Endpoint

P = ParamSpec("P")
T = TypeVar("T")
ANY_PORT = Endpoint.parse("inet:0@127.0.0.1")
PATIENCE_S = 10.0


class Faults:
    """A loop in a thread, and the proxies that live in it; closed with them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faults", daemon=True)
        self._open: list[Proxy | DatagramProxy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._open:
            self.wait(proxy.down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stream(self, service: Endpoint, listen: Endpoint = ANY_PORT) -> Proxy:
        """A door before a service that speaks over TCP or a Unix socket."""
        proxy = Proxy(listen, service)
        self.wait(proxy.up())
        self._open.append(proxy)
        return proxy

    def datagrams(self, service: Address, host: str = "127.0.0.1", port: int = 0) -> DatagramProxy:
        """A port before a service that speaks over UDP."""
        proxy = DatagramProxy(host, port, service)
        self.wait(proxy.up())
        self._open.append(proxy)
        return proxy

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the proxies' loop; returns what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def change(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call something of a proxy's where its loop runs."""

        async def called() -> T:
            return call(*args, **kwargs)

        return self.wait(called())
