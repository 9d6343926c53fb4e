"""Identity: ids of mails and visits, in the order of time, never twice on a host.

Fails: never.
"""

from __future__ import annotations

import itertools
import os

_SERIALS = 1 << 18
_serial = itertools.count()


class _Process:
    """Who we are: the kernel is asked once, and anew in a child."""

    def __init__(self) -> None:
        self.look()
        os.register_at_fork(after_in_child=self.look)

    def look(self) -> None:
        self.number = os.getpid()


_process = _Process()


def new_id(now: float) -> str:
    """An id that was never given; `now` is Unix time in seconds."""
    who = _process.number * _SERIALS + next(_serial) % _SERIALS
    return f"{int(now):X}{who:010X}"
