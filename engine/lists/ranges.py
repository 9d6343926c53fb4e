"""Networks as disjoint ranges: one bisection tells whether an address is held.

Networks nest or are apart.  Where they nest, each address is held until the latest end of all
that it lies in, so that ranges need no more than their begin and that end (0: not held).

Fails: never; `number` gives None for a text that is no address.
"""

from __future__ import annotations

import socket
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from millrace.engine.lists.image import Format, Image

_MAPPED = bytes(10) + b"\xff\xff"
_HALF = (1 << 64) - 1
Numbered = tuple[int, int]  # 4 or 6, and the address as a number


def number(text: str) -> Numbered | None:
    """An address; an IPv4-mapped one is IPv4."""
    try:
        if ":" not in text:
            return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
        octets = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None
    if octets.startswith(_MAPPED):
        return 4, int.from_bytes(octets[12:], "big")
    return 6, int.from_bytes(octets, "big")


def plain(text: str) -> tuple[int, int, int] | None:
    """(family, begin, prefix) of a network that is written plainly; None to look closer."""
    address, slash, width = text.partition("/")
    found = number(address)
    if found is None or (slash and not (width.isascii() and width.isdigit() and len(width) < 4)):
        return None
    family, start = found
    bits = 128 if ":" in address else 32
    prefix = int(width) if slash else bits
    # of an IPv4-mapped network the mask counts the mapping's bits too: look closer
    if prefix > bits or start & (1 << bits - prefix) - 1 or (family == 4) != (bits == 32):
        return None
    return family, start, prefix


class RangeWriter:
    """Takes networks one by one."""

    def __init__(self) -> None:
        self._packed: dict[int, list[int]] = {4: [], 6: []}

    def add(self, family: int, start: int, prefix: int, until: int, line: int) -> None:
        """Keep a network."""
        # one whole number in place of a tuple: a million take 50 MB, not 200
        self._packed[family].append(start << 72 | prefix << 64 | line << 32 | until)

    def sections(self, alike: Callable[[int, int], None]) -> dict[str, tuple[Format, bytes]]:
        """What an image of them holds; `alike` hears (line, earlier line) of each duplicate."""
        begins4, ends4 = array("Q"), array("I")
        for start, until in _ranges(sorted(self._packed[4]), 32, alike):
            begins4.append(start)
            ends4.append(until)
        high6, low6, ends6 = array("Q"), array("Q"), array("I")
        for start, until in _ranges(sorted(self._packed[6]), 128, alike):
            high6.append(start >> 64)
            low6.append(start & _HALF)
            ends6.append(until)
        return {
            "begins4": ("Q", begins4.tobytes()),
            "high6": ("Q", high6.tobytes()),
            "low6": ("Q", low6.tobytes()),
            "ends4": ("I", ends4.tobytes()),
            "ends6": ("I", ends6.tobytes()),
        }


def _ranges(
    packed: list[int], bits: int, alike: Callable[[int, int], None]
) -> Iterator[tuple[int, int]]:
    """(begin, until) of each range, in order."""
    outer: list[tuple[int, int]] = []  # (end, until) of the networks that we stand in
    begin, held = 0, 0
    before, before_line = -1, 0

    def leave(point: int) -> Iterator[tuple[int, int]]:
        while outer and outer[-1][0] <= point:
            end, _ = outer.pop()
            yield end, outer[-1][1] if outer else 0

    for each in packed:
        start, prefix = each >> 72, each >> 64 & 0xFF
        line, until = each >> 32 & 0xFFFFFFFF, each & 0xFFFFFFFF
        if before == each >> 64:
            alike(line, before_line)
        before, before_line = each >> 64, line
        for point, left in leave(start):
            if point > begin:
                yield begin, held
            begin, held = point, left
        if start > begin:
            yield begin, held
        begin, held = start, max(until, outer[-1][1] if outer else 0)
        outer.append((start + (1 << bits - prefix), held))
    for point, left in leave(1 << bits):
        if point > begin:
            yield begin, held
        begin, held = point, left
    if begin < 1 << bits:
        yield begin, held


def searcher(image: Image) -> Callable[[Numbered], int]:
    """A function that tells until when an address is held; 0 when it is not."""
    begins4, ends4 = image.section("begins4"), image.section("ends4")
    high6, low6, ends6 = (image.section(name) for name in ("high6", "low6", "ends6"))

    def search(address: Numbered) -> int:
        family, found = address
        if family == 4:
            at = bisect_right(begins4, found) - 1
            return ends4[at] if at >= 0 else 0
        high, low = found >> 64, found & _HALF
        last = bisect_right(high6, high)
        first = bisect_left(high6, high, 0, last)
        at = bisect_right(low6, low, first, last) - 1
        return ends6[at] if at >= 0 else 0

    return search
