"""Children: processes that were forked, and our end of the talk with each.

A child begins with what its parent had imported and built, in memory that both share until
one of them writes to it.

Fails: OSError when the system allows no further process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NoReturn

from millrace.engine.errors import Misconfigured, Unavailable
from millrace.engine.net.loop import factory
from millrace.engine.telemetry.merging import Family
from millrace.engine.workers.channel import SupervisorEnd
from millrace.engine.workers.roster import Member

Body = Callable[[socket.socket], Coroutine[Any, Any, None]]
FAILED, WRONG, AWAY = 1, 2, 3  # as the command line's exit statuses
_OF_THE_SUPERVISOR = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


@dataclass(slots=True)
class Child:
    """One child; `report` is what it last told of itself, `counted` its counters."""

    member: Member
    end: SupervisorEnd
    report: dict[str, Any] = field(default_factory=dict)
    counted: list[Family] = field(default_factory=list)
    silent: bool = False  # its end of the talk is closed


def fork(body: Body, leave_behind: Callable[[], None]) -> tuple[int, SupervisorEnd]:
    """A new process that runs `body`, without what `leave_behind` closes; its pid and end."""
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        ours.close()
        _live(body, theirs, leave_behind)
    theirs.close()
    return pid, SupervisorEnd(ours)


def _live(body: Body, sock: socket.socket, leave_behind: Callable[[], None]) -> NoReturn:
    """The child's whole life; it never returns to its parent's code."""
    status = FAILED
    try:
        signal.set_wakeup_fd(-1)
        for number in _OF_THE_SUPERVISOR:
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        leave_behind()
        with asyncio.Runner(loop_factory=factory()) as runner:
            runner.run(body(sock))
        status = 0
    except Misconfigured as error:
        print(error, file=sys.stderr)
        status = WRONG
    except Unavailable as error:
        print(f"{error.what} is unavailable: {error.detail}", file=sys.stderr)
        status = AWAY
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)


def ended(pid: int) -> int | None:
    """The exit status of a child that has ended, minus a signal's number; None while it lives."""
    try:
        gone, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if gone else None


def end_word(status: int) -> str:
    """How it ended, for people."""
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"
