"""Domain names on the wire of the DNS, and as text.

RFC 1035 §3.1 (labels), §4.1.4 (compression), §5.1 (escapes in text).

A pointer must lead strictly backward, so that every name ends; names are at most 255
octets.  Text is lower-case without a final dot, "" is the root; a dot or an odd octet
inside a label is escaped, so that no name passes for another.

Fails: `read` raises `Malformed`, or IndexError where the octets end too early, which
`message.read` turns into `Malformed`; `encoded` gives None for what cannot be asked.
"""

from __future__ import annotations

LABEL_MAX, OCTETS_MAX = 63, 255
POINTER = 0xC0
_PLAIN = bytes(octet for octet in range(33, 127) if octet != ord("\\"))


class Malformed(ValueError):
    """These octets are no DNS message."""


def encoded(name: str) -> bytes | None:
    """A name as octets; None when it has no such form."""
    if not name:
        return b"\0"
    if not name.isascii() or "\\" in name:
        return None
    octets = bytearray()
    for label in name.encode("ascii").split(b"."):
        if not 0 < len(label) <= LABEL_MAX:
            return None
        octets.append(len(label))
        octets += label
    octets.append(0)
    return bytes(octets) if len(octets) <= OCTETS_MAX else None


def read(data: bytes, at: int, known: dict[int, str]) -> tuple[str, int]:
    """The name at an offset, and where it ends; `known` remembers what pointers lead to."""
    if data[at] < POINTER:
        return _walked(data, at)
    target = (data[at] & 0x3F) << 8 | data[at + 1]
    name = known.get(target)
    if name is None:
        name, _ = _walked(data, at)
        known[target] = name
    return name, at + 2


def _walked(data: bytes, at: int) -> tuple[str, int]:
    labels: list[bytes] = []
    length, end, lowest = 1, 0, at
    while size := data[at]:
        if size >= POINTER:
            target = (size & 0x3F) << 8 | data[at + 1]
            if target >= lowest:
                raise Malformed("a compression pointer does not lead backward")
            end, at = end or at + 2, target
            lowest = target
            continue
        length += size + 1
        if size > LABEL_MAX or length > OCTETS_MAX:
            raise Malformed("a name or a label is too long")
        labels.append(data[at + 1 : at + 1 + size])
        at += size + 1
    return _text(labels), end or at + 1


def _text(labels: list[bytes]) -> str:
    name = b".".join(labels).lower()
    if name.count(b".") < max(len(labels), 1) and not name.translate(None, _PLAIN):
        return name.decode("ascii")
    return ".".join("".join(map(_escaped, label.lower())) for label in labels)


def _escaped(octet: int) -> str:
    if octet in b".\\":
        return "\\" + chr(octet)
    return chr(octet) if 32 < octet < 127 else f"\\{octet:03d}"
