"""The event loop: uvloop where the extra `fast` is installed, else asyncio's own.

Fails: never.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


def factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What asyncio.Runner takes as `loop_factory`."""
    with contextlib.suppress(ImportError):
        import uvloop

        made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return made
    return None
