"""A name server on loopback that answers from the corpus' zone: the warm-up asks it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .corpus import Zone

TTL = 3600
_PIECE = 250


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
