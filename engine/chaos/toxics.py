"""What a fault proxy does to a connection, in the names and units of Toxiproxy.

The seven of Toxiproxy keep its names, attributes and units (milliseconds, KB/s, octets), so
that a drill can be run with either.  `Forged` is ours: it rewrites what passes, for servers
that lie.  Each works on one direction: "downstream" is towards the client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Direction = Literal["upstream", "downstream"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Everything comes later: by `latency` ms, give or take `jitter` ms."""

    latency: float
    jitter: float = 0.0
    stream: Direction = "downstream"


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """At most `rate` KB pass each second."""

    rate: float
    stream: Direction = "downstream"


@dataclass(frozen=True, slots=True)
class SlowClose:
    """An end is passed on `delay` ms late."""

    delay: float
    stream: Direction = "downstream"


@dataclass(frozen=True, slots=True)
class Timeout:
    """Nothing passes; the connection ends after `timeout` ms, 0: when the toxic is removed."""

    timeout: float = 0.0
    stream: Direction = "downstream"


@dataclass(frozen=True, slots=True)
class ResetPeer:
    """The connection is reset (TCP RST) `timeout` ms after something was to pass."""

    timeout: float = 0.0
    stream: Direction = "downstream"


@dataclass(frozen=True, slots=True)
class Slicer:
    """Pieces of `average_size` octets, give or take `size_variation`, `delay` µs apart."""

    average_size: int
    size_variation: int = 0
    delay: float = 0.0
    stream: Direction = "downstream"


@dataclass(frozen=True, slots=True)
class LimitData:
    """The connection ends when `bytes` octets have passed."""

    bytes: int
    stream: Direction = "downstream"


@dataclass(frozen=True, slots=True)
class Forged:
    """What passes is rewritten; b"" lets it vanish."""

    rewrite: Callable[[bytes], bytes]
    stream: Direction = "downstream"


Toxic = Latency | Bandwidth | SlowClose | Timeout | ResetPeer | Slicer | LimitData | Forged


def slices(data: bytes, toxic: Slicer, draw: Callable[[int, int], int]) -> list[bytes]:
    """Cut into pieces; `draw(low, high)` gives a whole number between the two."""
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        swing = toxic.size_variation
        size = max(toxic.average_size + (draw(-swing, swing) if swing else 0), 1)
        pieces.append(data[at : at + size])
        at += size
    return pieces
