"""The doors' sockets, bound once for all workers.

TCP: one socket for each worker (SO_REUSEPORT), so that the kernel spreads connections evenly;
the supervisor keeps them all, so that a dead worker's queue waits for its successor.  A Unix
path has one socket, which all workers share, and so has a door that systemd has opened.
libmilter binds for itself, in its worker.

Fails: `Misconfigured` for an address that is no good or taken, and for sockets of systemd's
that no listener asks for.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from millrace.engine.doors import octal
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.net.endpoint import BACKLOG, Endpoint, bind
from millrace.engine.net.listener import Given
from millrace.engine.settings import Listener, Settings

Key = tuple[str, int]  # an address as the settings have it, and the how manieth of those
_OF_HTTP = -1
_FIRST = 3  # descriptor that systemd gives (SD_LISTEN_FDS_START)


@dataclass(slots=True)
class Bound:
    """One door; `socks` one for each worker, or one for all; `kind` as in `listening KIND`."""

    kind: str
    key: Key
    endpoint: Endpoint
    socks: list[socket.socket] = field(default_factory=list)
    shared: bool = False
    inode: int = 0  # of a Unix socket's path

    def given(self, slot: int) -> Given | None:
        """What the worker of a slot accepts on; None where it binds for itself."""
        if not self.socks:
            return None
        return Given(self.socks[slot % len(self.socks)].dup(), self.shared)

    def close(self, *, unlink: bool) -> None:
        """Accept no more; a Unix path goes, if it is still ours."""
        if unlink and self.socks and self.inode and self.inode == _inode(self.endpoint.path):
            with contextlib.suppress(OSError):
                os.unlink(self.endpoint.path)
        for sock in self.socks:
            sock.close()
        self.socks.clear()


def _inode(path: str) -> int:
    """Which file a Unix socket's path leads to, 0 for none."""
    try:
        return os.stat(path).st_ino if path else 0
    except OSError:
        return 0


def open_all(
    settings: Settings, workers: int, inherited: Mapping[Key, list[socket.socket]]
) -> list[Bound]:
    """The sockets of every listener, then that of HTTP, if there is one."""
    left = dict(inherited)
    opened: list[Bound] = []
    try:
        for each, key in zip(settings.listener, _keys(settings.listener), strict=True):
            opened.append(_door(each, key, workers, left.pop(key, [])))
        if settings.http.address:
            opened.append(_http(settings, left.pop((settings.http.address, _OF_HTTP), [])))
    except Misconfigured:
        for bound in opened:
            bound.close(unlink=True)
        raise
    for socks in left.values():  # of a listener that the settings no longer have
        for sock in socks:
            sock.close()
    return opened


def _keys(listeners: Iterable[Listener]) -> list[Key]:
    seen: Counter[str] = Counter()
    keys = []
    for each in listeners:
        keys.append((each.address, seen[each.address]))
        seen[each.address] += 1
    return keys


def _door(each: Listener, key: Key, workers: int, have: list[socket.socket]) -> Bound:
    endpoint = Endpoint.parse(each.address)
    if each.backend == "libmilter":
        if workers > 1:
            hint = "Set workers = 1, or give it the native backend."
            raise Misconfigured(Fault("libmilter serves in one worker only", hint))
        return Bound(each.kind, key, endpoint)
    bound = Bound(each.kind, key, endpoint, have, shared=len(have) == 1 and workers > 1)
    if not have:
        mode, group = octal(each.mode), each.group
        if workers > 1 and endpoint.port:
            bind(endpoint).close()  # with SO_REUSEPORT, a second daemon would not be noticed
        bound.socks = [bind(endpoint, mode=mode, group=group, reuse_port=workers > 1)]
        bound.shared = endpoint.kind == "unix" and workers > 1
    bound.endpoint = endpoint = endpoint.of(bound.socks[0])
    bound.inode = _inode(endpoint.path)
    spread = _spreads(bound.socks[0]) and not bound.shared
    for sock in bound.socks[workers:]:  # nobody will accept on them any more
        sock.close()
    del bound.socks[workers:]
    while spread and len(bound.socks) < workers:
        bound.socks.append(bind(endpoint, reuse_port=True))
    return bound


def _spreads(sock: socket.socket) -> bool:
    return sock.family != socket.AF_UNIX and bool(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    )


def _http(settings: Settings, have: list[socket.socket]) -> Bound:
    endpoint = Endpoint.parse(settings.http.address)
    socks = have or [bind(endpoint)]
    return Bound("http", (settings.http.address, _OF_HTTP), endpoint.of(socks[0]), socks)


def from_systemd(
    settings: Settings, environment: Mapping[str, str]
) -> dict[Key, list[socket.socket]]:
    """The sockets of a .socket unit, by the listener that they fit.  sd_listen_fds(3)."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    found: dict[Key, list[socket.socket]] = {}
    wanted = {_form(Endpoint.parse(key[0])): key for key in _addresses(settings)}
    for descriptor in range(_FIRST, _FIRST + int(environment.get("LISTEN_FDS", "0"))):
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        sock.listen(BACKLOG)
        key = wanted.get(_name(sock))
        if key is None:
            hint = "The .socket unit and the [[listener]]s must name the same addresses."
            where = sock.getsockname()
            sock.close()
            raise Misconfigured(Fault(f"systemd gave a socket on {where}, and no listener", hint))
        found.setdefault(key, []).append(sock)
    return found


def _addresses(settings: Settings) -> list[Key]:
    http = [(settings.http.address, _OF_HTTP)] if settings.http.address else []
    return [*_keys(settings.listener), *http]


def _form(endpoint: Endpoint) -> object:
    return endpoint.path or (endpoint.host, endpoint.port)


def _name(sock: socket.socket) -> object:
    name = sock.getsockname()
    return name if isinstance(name, str) else name[:2]
