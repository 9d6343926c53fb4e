"""A name server on loopback that answers from the corpus' zone: unbound, or a thread of ours.

Every party of a run asks the same one.  unbound serves port 53 too, for programs that only
know /etc/resolv.conf.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .corpus import Zone
from .stack import Absent, Stack

TTL = 3600
_PIECE = 250
_HOST = "127.0.0.77"
_UNBOUND = """\
server:
  interface: {host}@53
  interface: {host}@{port}
  access-control: 127.0.0.0/8 allow
  do-ip6: no
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  num-threads: 1
  module-config: "iterator"
remote-control:
  control-enable: no
"""


@contextlib.contextmanager
def nameserver(zone: Zone) -> Iterator[str]:
    """Serve a zone over UDP; gives `address:port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("127.0.0.1", 0))
        address, port = door.getsockname()
        thread = threading.Thread(target=_serve, args=(door, zone), daemon=True)
        thread.start()
        yield f"{address}:{port}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (address, port))
        thread.join()


@contextlib.contextmanager
def shared(folder: Path, zone: Zone, core: int) -> Iterator[str]:
    """unbound where it is installed, at 53 and at 5353, else the thread; `address:port`."""
    (folder / "unbound.conf").write_text(
        _UNBOUND.format(host=_HOST, port=5353, folder=folder) + local_data(zone)
    )
    with Stack(folder, core) as stack:
        try:
            command = ["unbound", "-d", "-c", str(folder / "unbound.conf")]
            stack.start(command, f"inet:5353@{_HOST}")
        except Absent:
            with nameserver(zone) as where:
                yield where
        else:
            yield f"{_HOST}:5353"


def local_data(zone: Zone) -> str:
    """The zone in unbound's words; all else is NXDOMAIN, at once."""
    lines = ['server:\n  local-zone: "." static']
    for name, kinds in zone.items():
        for kind, values in kinds.items():
            for value in values:
                written = _written(kind, value)
                lines.append(f"  local-data: '{name}. {TTL} IN {kind} {written}'")
    return "\n".join(lines) + "\n"


def _serve(door: socket.socket, zone: Zone) -> None:
    while True:
        data, peer = door.recvfrom(4096)
        if not data:
            return
        door.sendto(answer(data, zone), peer)


def answer(data: bytes, zone: Zone) -> bytes:
    """The reply to one question."""
    query = dns.message.from_wire(data)
    reply = dns.message.make_response(query, recursion_available=True)
    asked = query.question[0]
    name = asked.name.to_text(omit_final_dot=True).lower()
    kind = dns.rdatatype.to_text(asked.rdtype)
    if name not in zone:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif values := zone[name].get(kind):
        texts = [_written(kind, value) for value in values]
        rrset = dns.rrset.from_text(asked.name, TTL, dns.rdataclass.IN, asked.rdtype, *texts)
        reply.answer.append(rrset)
    return reply.to_wire()


def _written(kind: str, value: str) -> str:
    if kind != "TXT":
        return value + ("." if kind == "MX" else "")
    return " ".join(f'"{value[at : at + _PIECE]}"' for at in range(0, len(value), _PIECE))
