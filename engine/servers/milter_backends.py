"""Which runtime speaks the milter protocol at a door: the operator's `backend`.

    native            our codec on asyncio (`milter_native`), the default
    purepythonmilter  that library on our streams (`milter_pure`)
    libmilter         Sendmail's library through pymilter (`milter_lib`), one for a process

All three feed the same `MilterFrontEnd`.  The fallbacks are imported when they are asked
for, and only then.

Fails: `listen` raises Misconfigured for an address that is no good, a backend that does
not exist or is not installed, and for a second libmilter in one process.
"""

from __future__ import annotations

from typing import Protocol

from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.net import listener
from millrace.engine.net.stream import Stream
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.servers import milter_native
from millrace.engine.servers.milter import Bounds

BACKENDS = ("native", "purepythonmilter", "libmilter")


class MilterListener(Protocol):
    """An open milter door, whichever runtime stands behind it."""

    @property
    def address(self) -> str:
        """Where it truly listens, `inet:PORT@HOST` or `unix:/path`."""

    @property
    def connections(self) -> int:
        """How many are open."""

    def stop(self) -> None:
        """Accept no more; what is open goes on."""

    async def close(self, grace: float = 0.0, patience: float = 0.0) -> None:
        """Stop, give open connections `grace` seconds to end, and end the rest.

        For `patience` seconds of them those at rest go on too.
        """


async def listen(
    backend: str,
    address: str,
    serving: Serving,
    name: str,
    bounds: Bounds,
    *,
    net_bounds: listener.Bounds,
    mode: int | None = None,
    group: str = "",
    place: listener.Place | None = None,
    given: listener.Given | None = None,
) -> MilterListener:
    """Open a door; `name` is the listener's in records, `mode` and `group` are for "unix"."""
    if backend == "libmilter":
        from millrace.engine.servers import milter_lib

        return milter_lib.start(
            address, serving, name, bounds, net_bounds=net_bounds, mode=mode, group=group
        )
    if backend == "purepythonmilter":
        from millrace.engine.servers import milter_pure

        speak = milter_pure.serve
    elif backend == "native":
        speak = milter_native.serve
    else:
        fault = Fault(f"there is no milter backend '{backend}'", f"one of: {' '.join(BACKENDS)}")
        raise Misconfigured(fault)

    async def serve(stream: Stream) -> None:
        await speak(stream, serving, name, bounds)

    return await listener.listen(
        address, serve, bounds=net_bounds, mode=mode, group=group, place=place, given=given
    )
