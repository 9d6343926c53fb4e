"""Who speaks the milter protocol: the runtime that a listener's settings name."""

from __future__ import annotations

from typing import Protocol

from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.net import listener as sockets
from millrace.engine.net.stream import Stream
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.servers import milter_native
from millrace.engine.servers.milter import Bounds


class MilterListener(Protocol):
    """An open door for MTAs, whichever runtime stands behind it."""

    @property
    def address(self) -> str:
        """The real address."""
        ...

    @property
    def connections(self) -> int:
        """How many are open."""
        ...

    def stop(self) -> None:
        """Accept no more."""
        ...

    async def close(self, grace: float = 0.0) -> None:
        """End, after `grace` seconds at most."""
        ...


async def listen(
    backend: str,
    address: str,
    serving: Serving,
    name: str,
    bounds: Bounds,
    *,
    net_bounds: sockets.Bounds,
    mode: int | None,
    group: str,
) -> MilterListener:
    """Open a door; raises `Misconfigured` for an address or a runtime that is not there."""
    if backend != "native":
        raise Misconfigured(Fault(f"the milter runtime '{backend}' is not installed"))

    async def serve(stream: Stream) -> None:
        await milter_native.serve(stream, serving, name, bounds)

    return await sockets.listen(address, serve, bounds=net_bounds, mode=mode, group=group)
