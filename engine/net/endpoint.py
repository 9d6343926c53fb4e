"""Where to listen or connect: `inet:PORT@HOST`, `inet6:PORT@HOST`, `unix:/path`.

The form that Postfix's and Sendmail's milter settings use.  `bind` makes a listening
socket; a Unix socket gets its mode and group before anybody can connect, and a stale
socket file is taken away only when nobody answers on it.

Fails: `Endpoint.parse` and `bind` raise Misconfigured with a sentence and a hint.
"""

from __future__ import annotations

import grp
import os
import re
import socket
import stat
from dataclasses import dataclass

from millrace.engine.errors import Fault, Misconfigured

BACKLOG = 1024  # connections that the kernel keeps while we are busy
PROBE_S = 1.0
_FORM = re.compile(r"(inet6?):(\d{1,5})@(\S+)|unix:(.+)")
_HINT = "write inet:PORT@HOST, inet6:PORT@HOST or unix:/path"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address; `host` and `port` of "inet" and "inet6", or `path` of "unix"."""

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        return f"{self.kind}:{self.port}@{self.host}"

    @property
    def family(self) -> socket.AddressFamily:
        """The socket family."""
        if self.kind == "unix":
            return socket.AF_UNIX
        return socket.AF_INET6 if self.kind == "inet6" else socket.AF_INET

    @staticmethod
    def parse(text: str) -> Endpoint:
        """Read one; port 0 asks the kernel for a free one."""
        found = _FORM.fullmatch(text)
        if not found or int(found[2] or 0) > 65535:
            raise Misconfigured(Fault(f"'{text}' is no address to listen on or connect to", _HINT))
        if found[4]:
            return Endpoint("unix", path=found[4])
        return Endpoint(found[1], found[3].strip("[]"), int(found[2]))

    def of(self, sock: socket.socket) -> Endpoint:
        """The same with the port that the kernel chose."""
        if self.kind == "unix":
            return self
        return Endpoint(self.kind, self.host, int(sock.getsockname()[1]))


def bind(
    endpoint: Endpoint, *, mode: int | None = None, group: str = "", reuse_port: bool = False
) -> socket.socket:
    """A listening, non-blocking socket; `mode` (as 0o660) and `group` are for "unix"."""
    try:
        sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    except OSError as error:  # no descriptor is left, or the host has no IPv6
        raise Misconfigured(Fault(f"cannot listen on {endpoint}: {error.strerror}")) from error
    try:
        if endpoint.kind == "unix":
            _bind_unix(sock, endpoint.path, mode, group)
        else:
            _bind_inet(sock, endpoint, reuse_port)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise Misconfigured(Fault(f"cannot listen on {endpoint}: {reason}")) from error
    except Misconfigured:
        sock.close()
        raise
    return sock


def _bind_inet(sock: socket.socket, endpoint: Endpoint, reuse_port: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if endpoint.kind == "inet6":
        # a v4 listener is its own line in the settings, and may stand on the same port
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((endpoint.host, endpoint.port))


def _bind_unix(sock: socket.socket, path: str, mode: int | None, group: str) -> None:
    _clear(path)
    sock.bind(path)
    # between bind and listen nobody can connect: the rights are set in time
    if group:
        os.chown(path, -1, _gid(group))
    if mode is not None:
        os.chmod(path, mode)


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise Misconfigured(Fault(f"there is no group '{group}' on this host")) from error


def _clear(path: str) -> None:
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise Misconfigured(Fault(f"{path} exists and is no socket", "move it away"))
    if _answers(path):
        raise Misconfigured(Fault(f"somebody listens on unix:{path} already", "stop it first"))
    os.unlink(path)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # a full backlog, or no right to ask: not ours to remove
    return True
