"""The doors' sockets, bound once for all workers.

TCP: one socket for each worker (SO_REUSEPORT), so that the kernel spreads connections evenly;
the supervisor keeps them all, so that a dead worker's queue waits for its successor.  A Unix
path has one socket, which all workers share, and so has a door that systemd has opened.
More workers than before share the sockets that are there, where no further one can be bound:
the kernel lets only the user who bound the first bind more.  libmilter binds for itself, in
its worker.

Fails: `Misconfigured` for an address that is no good or taken, and for descriptors of systemd's
that are no listening socket, or that no listener asks for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from millrace.engine.doors import octal
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.net.endpoint import BACKLOG, Endpoint, bind
from millrace.engine.net.listener import Given
from millrace.engine.settings import Listener, Settings

Key = tuple[str, int]  # an address as the settings have it, and the how manieth of those
_OF_HTTP = -1
_FIRST = 3  # descriptor that systemd gives (SD_LISTEN_FDS_START)
_AGREE = "The .socket unit and the [[listener]]s must name the same addresses."
_log = logging.getLogger("millrace.workers")


@dataclass(slots=True)
class Bound:
    """One door; `socks` one for each worker, or one for all; `kind` as in `listening KIND`."""

    kind: str
    key: Key
    endpoint: Endpoint
    socks: list[socket.socket] = field(default_factory=list)
    shared: bool = False
    inode: int = 0  # of a Unix socket's path that is ours to take away

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
    settings: Settings,
    workers: int,
    inherited: Mapping[Key, list[socket.socket]],
    lent: Collection[int] = (),
) -> list[Bound]:
    """The sockets of every listener, then that of HTTP, if there is one.

    The paths of sockets with a descriptor in `lent` are somebody else's.
    """
    left = dict(inherited)
    opened: list[Bound] = []
    try:
        for each, key in zip(settings.listener, _keys(settings.listener), strict=True):
            opened.append(_door(each, key, workers, left.pop(key, []), lent))
        if settings.http.address:
            opened.append(_http(settings, left.pop((settings.http.address, _OF_HTTP), [])))
    except Misconfigured:
        for bound in opened:
            bound.close(unlink=True)
        raise
    for key, socks in left.items():  # of a listener that the settings no longer have
        endpoint = Endpoint.parse(key[0])
        inode = _inode_of_ours(endpoint, socks, lent)
        Bound("", key, endpoint, socks, inode=inode).close(unlink=True)
    return opened


def try_new(settings: Settings, held: Collection[Key]) -> None:
    """Open the doors that are not held yet, and close them: could `open_all`?"""
    doors = zip(settings.listener, _keys(settings.listener), strict=True)
    new = [(each.address, each.mode, each.group) for each, key in doors if key not in held]
    if settings.http.address and (settings.http.address, _OF_HTTP) not in held:
        new.append((settings.http.address, "0660", ""))
    opened: list[Bound] = []
    try:
        for address, mode, group in new:
            endpoint = Endpoint.parse(address)
            sock = bind(endpoint, mode=octal(mode), group=group)
            inode = _inode(endpoint.path)
            opened.append(Bound("", (address, 0), endpoint, [sock], inode=inode))
    finally:
        for bound in opened:
            bound.close(unlink=True)


def _keys(listeners: Iterable[Listener]) -> list[Key]:
    seen: Counter[str] = Counter()
    keys = []
    for each in listeners:
        keys.append((each.address, seen[each.address]))
        seen[each.address] += 1
    return keys


def _door(
    each: Listener, key: Key, workers: int, have: list[socket.socket], lent: Collection[int]
) -> Bound:
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
    bound.inode = _inode_of_ours(endpoint, bound.socks, lent)
    spread = _spreads(bound.socks[0]) and not bound.shared
    for sock in bound.socks[workers:]:  # nobody will accept on them any more
        sock.close()
    del bound.socks[workers:]
    try:
        while spread and len(bound.socks) < workers:
            bound.socks.append(bind(endpoint, reuse_port=True))
    except Misconfigured as error:
        if not have:
            bound.close(unlink=True)
            raise
        _log.warning("%d workers share %d sockets: %s", workers, len(bound.socks), error)
        bound.shared = True
    return bound


def _inode_of_ours(
    endpoint: Endpoint, socks: Iterable[socket.socket], lent: Collection[int]
) -> int:
    """0 where the path is not ours, or there is none."""
    return 0 if any(sock.fileno() in lent for sock in socks) else _inode(endpoint.path)


def _spreads(sock: socket.socket) -> bool:
    return sock.family != socket.AF_UNIX and bool(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    )


def _http(settings: Settings, have: list[socket.socket]) -> Bound:
    endpoint = Endpoint.parse(settings.http.address)
    socks = have or [bind(endpoint)]
    return Bound("http", (settings.http.address, _OF_HTTP), endpoint.of(socks[0]), socks)


def lent_by_systemd(environment: Mapping[str, str]) -> range:
    """The descriptors that a .socket unit opened; they keep their numbers over a restart."""
    number = environment.get("LISTEN_FDS", "")
    ours = environment.get("LISTEN_PID") == str(os.getpid())
    return range(_FIRST, _FIRST + (int(number) if ours and number.isdecimal() else 0))


def from_systemd(
    settings: Settings, environment: Mapping[str, str]
) -> dict[Key, list[socket.socket]]:
    """The sockets of a .socket unit, by the listener that they fit.  sd_listen_fds(3)."""
    found: dict[Key, list[socket.socket]] = {}
    wanted = {_form(Endpoint.parse(key[0])): key for key in _addresses(settings)}
    for descriptor in lent_by_systemd(environment):
        sock = _listening(descriptor)
        key = wanted.get(_name(sock))
        if key is None:
            where = sock.getsockname()
            sock.close()
            raise Misconfigured(Fault(f"systemd gave a socket on {where}, and no listener", _AGREE))
        found.setdefault(key, []).append(sock)
    return found


def _listening(descriptor: int) -> socket.socket:
    sock = None
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        sock.listen(BACKLOG)
    except OSError as error:  # a file, a datagram socket, Accept=yes, or nothing at all
        if sock is not None:
            sock.close()
        what = f"systemd gave descriptor {descriptor}, which is no listening socket"
        raise Misconfigured(Fault(f"{what}: {error.strerror}", _AGREE)) from error
    return sock


def _addresses(settings: Settings) -> list[Key]:
    http = [(settings.http.address, _OF_HTTP)] if settings.http.address else []
    return [*_keys(settings.listener), *http]


def _form(endpoint: Endpoint) -> object:
    return endpoint.path or (endpoint.host, endpoint.port)


def _name(sock: socket.socket) -> object:
    name = sock.getsockname()
    return name if isinstance(name, str) else name[:2]
