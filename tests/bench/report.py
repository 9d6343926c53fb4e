"""How the figures are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .contenders import YARDSTICK, Contender
from .daemon import Usage
from .load import Outcome


@dataclass(frozen=True)
class Row:
    """One contender at one concurrency: CPU-ms a mail, mails/s, latencies in ms, MiB."""

    name: str
    concurrency: int
    mails: int
    cpu_ms: float
    mails_per_s: float
    p50_ms: float
    p99_ms: float
    rss_mib: float
    verdicts: dict[str, int]
    goal_ms: float | None

    @staticmethod
    def of(
        contender: Contender,
        concurrency: int,
        outcome: Outcome,
        wall: float,
        before: Usage,
        after: Usage,
    ) -> Row:
        """From what was seen."""
        mails = len(outcome.seconds)
        return Row(
            contender.name,
            concurrency,
            mails,
            round((after.cpu - before.cpu) * 1000 / mails, 3),
            round(mails / wall, 1),
            round(outcome.quantile(0.5), 2),
            round(outcome.quantile(0.99), 2),
            round(after.rss, 1),
            dict(outcome.verdicts),
            contender.goal,
        )


@dataclass(frozen=True)
class Figure:
    """One part: what it costs in CPU microseconds; `goal` None without one."""

    name: str
    us: float
    goal: float | None = None


def title(python: str, mails: int, octets: int, reuse: int) -> str:
    """What was done, and the head of the table."""
    return (
        f"Python {python}, {mails} mails (middle one {octets / 1024:.1f} KiB), DNS answers "
        f"cached, {reuse} mail(s) on a connection, log and decision records written\n\n"
        f"{'pipeline':16} {'c':>3} {'CPU ms/mail':>12} {'goal':>6} {'mails/s':>8} "
        f"{'p50 ms':>7} {'p99 ms':>7} {'RSS MiB':>8}  verdicts"
    )


def line(row: Row) -> str:
    """One row of the table."""
    verdicts = " ".join(f"{word} {count}" for word, count in sorted(row.verdicts.items()))
    return (
        f"{row.name:16} {row.concurrency:>3} {row.cpu_ms:>12.3f} {_goal(row):>6} "
        f"{row.mails_per_s:>8.0f} {row.p50_ms:>7.2f} {row.p99_ms:>7.2f} "
        f"{row.rss_mib:>8.1f}  {verdicts}"
    )


def _goal(row: Row) -> str:
    return "" if row.goal_ms is None else f"{row.goal_ms:.2f}"


def foot(rows: Sequence[Row]) -> str:
    """Which goals are met, where the daemon's core is full; beside it, what the yardstick says."""
    busiest = max((row.concurrency for row in rows), default=0)
    full = [row for row in rows if row.concurrency == busiest and row.goal_ms is not None]
    slowness = next((r.cpu_ms / (r.goal_ms or 1) for r in full if r.name == YARDSTICK), 0.0)
    told = [_verdict(row, slowness) for row in full if row.name != YARDSTICK]
    if slowness:
        told.append(
            f"(the yardstick costs {slowness:.1f} times what it did on the machine of the goals)"
        )
    return "\n" + "\n".join(told) + f"\n\n{'part':40} {'CPU µs':>9} {'goal':>6}"


def _verdict(row: Row, slowness: float) -> str:
    goal = row.goal_ms or 0.0
    told = f"{row.name}: {row.cpu_ms:.2f} of {goal:.2f} ms, {_word(row.cpu_ms / goal)}"
    if slowness:
        scaled = row.cpu_ms / slowness
        told += f"; by the yardstick {scaled:.2f} ms, {_word(scaled / goal)}"
    return told


def _word(share: float) -> str:
    return "met" if share <= 1 else f"MISSED by {share * 100 - 100:.0f} %"


def figure(part: Figure) -> str:
    """One line of the parts."""
    goal = "" if part.goal is None else f"{part.goal:.0f}"
    missed = "  MISSED" if part.goal is not None and part.us > part.goal else ""
    return f"{part.name:40} {part.us:>9.1f} {goal:>6}{missed}"


def data(rows: Sequence[Row], figures: Sequence[Figure]) -> dict[str, Any]:
    """All of it, for machines."""
    return {"rows": [asdict(row) for row in rows], "parts": [asdict(part) for part in figures]}
