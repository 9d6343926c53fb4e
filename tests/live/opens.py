"""OpenDKIM and OpenDMARC, and the DNS that they ask, on an island of their own.

Both know no other port for the DNS than 53, and OpenDMARC no other server than that of
/etc/resolv.conf: so they run in a network and mount namespace with a real unbound on
127.0.0.1:53, whose whole world is one zone.  Their milter sockets are files, which the test
reaches from outside.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from conftest import needs, wait_for
from live.parties import CLEAN

from millrace.engine.mail.edits import AddHeader, InsertHeader
from millrace.engine.mail.headers import parse
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Command, MilterClient

TIMEOUT_S = 30.0
UNBOUND = """
server:
  interface: 127.0.0.1@53
  access-control: 127.0.0.0/8 allow
  do-ip6: no
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  use-syslog: no
  logfile: "{folder}/unbound.log"
  module-config: "iterator"
  local-zone: "." static
  include: "{folder}/zone.conf"
remote-control:
  control-enable: no
"""
BOTH = "Syslog no\nBackground no\nSocket local:{socket}\nPidFile {socket}.pid\n"
VERIFIER = BOTH + "Mode v\nAlwaysAddARHeader yes\nAuthservID open.example\nNameservers 127.0.0.1\n"
SIGNER = BOTH + (
    "Mode s\nDomain {domain}\nSelector {selector}\nKeyFile {key}\nRequireSafeKeys no\n"
    "SignatureAlgorithm {algorithm}\nCanonicalization {form}\nInternalHosts {hosts}\n"
)
ALIGNER = BOTH.replace(" no", " false") + (
    "AuthservID dmarc.example\nTrustedAuthservIDs open.example\nSPFIgnoreResults true\n"
    "SPFSelfValidate true\nIgnoreAuthenticatedClients false\nPublicSuffixList {suffixes}\n"
)


def local_data(zone: Mapping[str, Mapping[str, Any]]) -> str:
    """unbound's lines for a zone in the JSON form of `explain --dns`."""
    return "\n".join(
        f"local-data: '{name}. 300 IN {kind} {_shown(kind, value)}'"
        for name, records in zone.items()
        for kind, values in records.items()
        for value in values
    )


def _shown(kind: str, value: str) -> str:
    if kind != "TXT":
        return value
    pieces = [value[at : at + 250] for at in range(0, len(value), 250)]
    return " ".join(f'"{piece}"' for piece in pieces)


@dataclass
class Island:
    """The namespaces, with unbound in them; `enter` starts others there."""

    folder: Path
    zone: Mapping[str, Mapping[str, Any]]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> Self:
        """Start unbound in namespaces of its own."""
        unbound, unshare = needs("unbound", "unbound"), needs("unshare", "util-linux")
        needs("ip", "iproute2")
        (self.folder / "zone.conf").write_text(local_data(self.zone))
        (self.folder / "unbound.conf").write_text(UNBOUND.format(folder=self.folder))
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        script = (
            f"ip link set lo up && mount --bind {self.folder}/resolv.conf /etc/resolv.conf && "
            f"exec {unbound} -d -c {self.folder}/unbound.conf"
        )
        self._spawn([unshare, "-m", "-n", "sh", "-c", script])
        wait_for(lambda: (self.folder / "unbound.pid").exists(), "unbound")
        return self

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "said.log").open("ab") as said:
            process = subprocess.Popen(
                command, env=CLEAN, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        self.processes.append(process)
        return process

    def inside(self, *command: str) -> list[str]:
        """A command line that runs on the island."""
        enter = [needs("nsenter", "util-linux"), "-t", str(self.processes[0].pid)]
        return [*enter, "-m", "-n", *command]

    def opendkim(self, name: str, template: str = VERIFIER, **values: object) -> Path:
        """Start an OpenDKIM with that configuration; its socket."""
        return self._milter(needs("opendkim", "opendkim"), "-x", name, template, values)

    def opendmarc(self, name: str, **values: object) -> Path:
        """Start an OpenDMARC; its socket."""
        return self._milter(needs("opendmarc", "opendmarc"), "-c", name, ALIGNER, values)

    def _milter(
        self, program: str, flag: str, name: str, template: str, values: Mapping[str, object]
    ) -> Path:
        path, config = self.folder / f"{name}.sock", self.folder / f"{name}.conf"
        config.write_text(template.format(socket=path, **values))
        process = self._spawn(self.inside(program, "-f", flag, str(config)))
        wait_for(lambda: _accepts(path) or process.poll() is not None, program)
        assert process.poll() is None, (self.folder / "said.log").read_text()
        return path

    def stop(self) -> None:
        """End all, unbound last; OpenDMARC would think about it for ten seconds."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@dataclass(frozen=True)
class Courier:
    """Who brings a mail."""

    ip: str = "127.0.0.1"
    helo: str = "client.example"
    sender: str = ""


def added(path: Path, raw: bytes, by: Courier) -> list[tuple[str, str]]:
    """The header fields that the filter at this socket adds to a mail, in their order."""
    with socket.socket(socket.AF_UNIX) as pipe:
        pipe.settimeout(TIMEOUT_S)
        pipe.connect(str(path))
        talk = _Talk(pipe)
        replies = talk.mail(raw, by)
    return [(e.name, e.value) for e in replies if isinstance(e, AddHeader | InsertHeader)]


class _Talk:
    """The MTA's side of one conversation of one mail."""

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe, self._client = pipe, MilterClient()
        self._replies: list[object] = []
        pipe.sendall(self._client.open())
        self._next()

    def _next(self) -> object:
        while not self._replies:
            data = self._pipe.recv(1 << 16)
            if not data:
                raise ConnectionError("the filter has hung up")
            self._replies += self._client.receive(data)
        return self._replies.pop(0)

    def say(self, event: wire.Event) -> list[object]:
        self._pipe.sendall(self._client.send(event))
        found: list[object] = []
        while self._client.waits_for(event) and not (found and wire.final(found[-1])):  # type: ignore[arg-type]
            found.append(self._next())
        return found

    def mail(self, raw: bytes, by: Courier) -> list[object]:
        fields, at, _ = parse(raw)
        self.say(wire.Macros(Command.CONNECT, {"j": "mx.rcpt.example"}))
        self.say(wire.Connect(f"[{by.ip}]", "inet", by.ip, 40007))
        self.say(wire.Helo(by.helo))
        self.say(wire.Macros(Command.MAIL, {"i": "4QX", "mail_addr": by.sender}))
        self.say(wire.MailFrom(f"<{by.sender}>", ()))
        self.say(wire.RcptTo("<ann@rcpt.example>", ()))
        for name, value in fields:
            self.say(wire.Header(name, value))
        self.say(wire.EndOfHeaders())
        body = raw[at:]
        for start in range(0, len(body), 65535):
            self.say(wire.BodyChunk(body[start : start + 65535]))
        self.say(wire.Macros(Command.END_OF_MESSAGE, {"i": "4QX"}))
        return self.say(wire.EndOfMessage(b""))
