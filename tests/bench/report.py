"""How the figures are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

BARE_MS = 0.10  # the yardstick, 10 connections, on the machine of the goals


@dataclass(frozen=True)
class Row:
    """One contender at one concurrency: CPU-ms a mail, mails/s, latencies in ms, MiB.

    `bare_ms` is what the yardstick cost in the same seconds.
    """

    name: str
    concurrency: int
    mails: int
    cpu_ms: float
    bare_ms: float
    mails_per_s: float
    p50_ms: float
    p99_ms: float
    rss_mib: float
    verdicts: dict[str, int]
    goal_ms: float | None

    @property
    def slowness(self) -> float:
        """How many times as much as where the goals were set the yardstick cost meanwhile."""
        return self.bare_ms / BARE_MS


@dataclass(frozen=True)
class Figure:
    """One part: what it costs in CPU microseconds; `goal` None without one.

    `beside` is what the same costs `whose` library, in the same run.
    """

    name: str
    us: float
    goal: float | None = None
    beside: float | None = None
    whose: str = ""


def title(python: str, mails: int, octets: int, reuse: int) -> str:
    """What was done, and the head of the table."""
    return (
        f"Python {python}, {mails} mails (middle one {octets / 1024:.1f} KiB), DNS answers "
        f"cached, {reuse} mail(s) on a connection, log and decision records written\n\n"
        f"{'pipeline':16} {'c':>3} {'CPU ms/mail':>12} {'goal':>6} {'bare':>6} {'mails/s':>8} "
        f"{'p50 ms':>7} {'p99 ms':>7} {'RSS MiB':>8}  verdicts"
    )


def line(row: Row) -> str:
    """One row of the table."""
    verdicts = " ".join(f"{word} {count}" for word, count in sorted(row.verdicts.items()))
    return (
        f"{row.name:16} {row.concurrency:>3} {row.cpu_ms:>12.3f} {_goal(row):>6} "
        f"{row.bare_ms:>6.3f} {row.mails_per_s:>8.0f} {row.p50_ms:>7.2f} {row.p99_ms:>7.2f} "
        f"{row.rss_mib:>8.1f}  {verdicts}"
    )


def _goal(row: Row) -> str:
    return "" if row.goal_ms is None else f"{row.goal_ms:.2f}"


def foot(rows: Sequence[Row]) -> str:
    """Which goals are met, where the daemon's core is full."""
    busiest = max((row.concurrency for row in rows), default=0)
    full = [row for row in rows if row.concurrency == busiest and row.goal_ms is not None]
    told = [_verdict(row) for row in full]
    return (
        f"\n(goals were set where the bare loop costs {BARE_MS:.2f} ms with 10 connections; "
        "scaled means: as many times quicker)\n"
        + "\n".join(told)
        + f"\n\n{'part':40} {'CPU µs':>9} {'goal':>6}"
    )


def slowness_of(rows: Sequence[Row]) -> float:
    """The middle slowness of the run; 0 where nothing was measured."""
    busiest = max((row.concurrency for row in rows), default=0)
    found = sorted(row.slowness for row in rows if row.concurrency == busiest)
    return found[len(found) // 2] if found else 0.0


def _verdict(row: Row) -> str:
    goal, scaled = row.goal_ms or 0.0, row.cpu_ms / row.slowness
    return (
        f"{row.name}: {row.cpu_ms:.2f} of {goal:.2f} ms, {_word(row.cpu_ms / goal)}; "
        f"scaled {scaled:.2f} ms, {_word(scaled / goal)}"
    )


def _word(share: float) -> str:
    return "met" if share <= 1 else f"MISSED by {share * 100 - 100:.0f} %"


def figure(part: Figure, slowness: float) -> str:
    """One line of the parts."""
    if part.beside is not None:
        ratio = part.beside / part.us
        return f"{part.name:40} {part.us:>9.1f}  {part.whose} {part.beside:.1f}, {ratio:.1f}×"
    if part.goal is None:
        return f"{part.name:40} {part.us:>9.1f}"
    told = f"{part.name:40} {part.us:>9.1f} {part.goal:>6.0f}  {_word(part.us / part.goal)}"
    if slowness:
        scaled = part.us / slowness
        told += f"; scaled {scaled:.0f} µs, {_word(scaled / part.goal)}"
    return told


def data(rows: Sequence[Row], figures: Sequence[Figure]) -> dict[str, Any]:
    """All of it, for machines."""
    return {"rows": [asdict(row) for row in rows], "parts": [asdict(part) for part in figures]}
