"""Who the daemon is and what it may use, set before any fork.

Fails: `Misconfigured` for a user or group that is not there, that we may not become, or that may
not read the program itself, and for fewer file descriptors than a start takes.
"""

from __future__ import annotations

import contextlib
import grp
import logging
import os
import pwd
import resource
from collections.abc import Iterator
from pathlib import Path

from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.settings import Settings

_log = logging.getLogger("millrace.workers")
_PROGRAM = Path(__file__).resolve().parents[1]
_OWN = 48  # descriptors of the supervisor, or of a worker that is at rest
_SPARE = 256  # descriptors of a worker that are no connections


def become(user: str, group: str) -> None:
    """Give up root for good; "" changes nothing."""
    if not user and not group:
        return
    uid, gid, name = _identity(user, group)
    if (os.geteuid(), os.getegid()) == (uid, gid):
        return
    if os.geteuid() != 0:
        hint = "Start it as root, or leave `user` and `group` out (systemd has User=)."
        raise Misconfigured(Fault(f"only root may become {user or group}", hint))
    os.setgroups(os.getgrouplist(name, gid) if name else [gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if not os.access(_PROGRAM, os.R_OK):  # what is imported later, and a restart, would fail
        hint = "Install it where others may read, such as /opt/millrace."
        raise Misconfigured(Fault(f"{user or group} may not read the program in {_PROGRAM}", hint))


def _identity(user: str, group: str) -> tuple[int, int, str]:
    """The ids, and the name by which the user's other groups are found."""
    uid, gid, name = os.geteuid(), os.getegid(), ""
    if user:
        with _found("user", user):
            entry = pwd.getpwnam(user)
        uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
    if group:
        with _found("group", group):
            gid = grp.getgrnam(group).gr_gid
    return uid, gid, name


@contextlib.contextmanager
def _found(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except KeyError:
        raise Misconfigured(Fault(f"there is no {what} '{name}' on this host")) from None


def raise_descriptors(settings: Settings, workers: int) -> None:
    """Ask for as many file descriptors as we may have; say so when they will not do."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a system call filter may forbid it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    may, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if may == resource.RLIM_INFINITY:
        return
    doors = len(settings.listener) + 1
    least = (doors + 4) * workers + _OWN  # a socket for each door, two talks while replaced
    needed = settings.limits.connections * max(len(settings.listener), 1) + _SPARE
    if may < least:
        hint = "Raise LimitNOFILE= or ulimit -n, or set fewer workers."
        sentence = f"{may} file descriptors are allowed, {workers} workers take {least} to start"
        raise Misconfigured(Fault(sentence, hint))
    if may < needed:
        _log.warning(
            "%d file descriptors are allowed, limits.connections may need %d:"
            " raise LimitNOFILE= or ulimit -n",
            may,
            needed,
        )
