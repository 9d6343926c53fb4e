"""Named lists at a million entries: what an entry costs to compile, and a look-up to answer.

A look-up is the mean of many that lie apart: the memory of each is cold as it is in service.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from millrace.engine.lists.compiling import compiled
from millrace.engine.lists.table import Table, opened
from millrace.engine.policy.listing import ListKind

from .report import Figure

MILLION, FEW = 1_000_000, 50_000
LOOK_UPS = 1000
KINDS: tuple[ListKind, ...] = ("domains", "networks", "map")


def figures(timed: Callable[[Callable[[], Any]], float], quick: bool) -> Iterator[Figure]:
    """Microseconds; those of compiling one entry are the seconds of a million."""
    count = FEW if quick else MILLION
    for kind in KINDS:
        table, spent, size = _loaded(kind, count)
        name = f"{kind} list of {count:,}"
        yield Figure(f"{name}: compiling an entry ({size >> 20} MiB in all)", spent / count * 1e6)
        for word, apart in (("held", range(0, count, count // LOOK_UPS)), ("not held", None)):
            names = [_asked(kind, n) for n in apart or range(count, count + LOOK_UPS)]
            mean = timed(partial(_all, table, names)) / len(names)
            yield Figure(f"{name}: look-up, {word}", mean, 3)


def _all(table: Table, names: list[str]) -> int:
    return sum(map(table.holds, names))


def _asked(kind: ListKind, n: int) -> str:
    """What the entry of that number holds; from the count on there is none."""
    low, middle, high = n & 255, n >> 8 & 255, n >> 16
    if kind == "networks":
        return f"{10 + high}.{middle}.{low}.1" if n & 1 else f"80.{high}.{middle}.{low}"
    return f"mx.h{n}.example.org" if kind == "domains" else f"h{n}.example.org"


def _loaded(kind: ListKind, count: int) -> tuple[Table, float, int]:
    text = "".join(_lines(kind, count)).encode()
    began = time.process_time()
    image = compiled(text, kind, f"bench.{kind}")
    return opened(memoryview(image))[0], time.process_time() - began, len(image)


def _lines(kind: ListKind, count: int) -> Iterator[str]:
    """Half of the networks are addresses; all domains hold those below them too."""
    for n in range(count):
        low, middle, high = n & 255, n >> 8 & 255, n >> 16
        if kind == "networks":
            yield f"{10 + high}.{middle}.{low}.0/24\n" if n & 1 else f"80.{high}.{middle}.{low}\n"
        elif kind == "map":
            yield f"h{n}.example.org = gold\n"
        else:
            yield f".h{n}.example.org\n"
