"""What processes cost: CPU seconds and memory of trees, from the kernel's own accounts."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """MiB: `rss` counts shared pages in each process, `pss` once."""

    rss: float
    pss: float


def tree(roots: Iterable[int]) -> set[int]:
    """These processes and all below them that live."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children[int(_stat(int(entry.name))[1])].append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time so far, to the nanosecond, with that of threads that ended.

    Children that ended and were waited for count too, to the tick of 10 ms.
    """
    return sum(_cpu_seconds(pid) for pid in pids)


def _cpu_seconds(pid: int) -> float:
    try:
        own = time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)
        words = _stat(pid)
    except OSError:
        return 0.0
    return own + (int(words[13]) + int(words[14])) / _TICK


@dataclass(frozen=True)
class Spent:
    """What the trees below some processes had spent at one moment, in CPU seconds."""

    roots: tuple[int, ...]
    members: frozenset[int]
    seconds: float

    @staticmethod
    def of(roots: Iterable[int]) -> Spent:
        """Now."""
        roots = tuple(roots)
        members = frozenset(tree(roots))
        return Spent(roots, members, cpu_seconds(members))

    def since(self) -> float:
        """Seconds from then to now, with those of processes that came or ended meanwhile.

        What one spent that has ended stands in its parent's account, once that waited for it.
        """
        return cpu_seconds(self.members | tree(self.roots)) - self.seconds


def machine_seconds() -> float:
    """CPU seconds that all cores together were not idle, so far; what a hypervisor took, too."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split(None, 9)[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICK


def memory(pids: Iterable[int]) -> Memory:
    """What they hold now."""
    rss = pss = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                word, *rest = line.split()
                rss += int(rest[0]) if word == "Rss:" else 0
                pss += int(rest[0]) if word == "Pss:" else 0
    return Memory(rss / 1024, pss / 1024)


def _stat(pid: int) -> list[str]:
    """state, parent, … : the words behind the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
