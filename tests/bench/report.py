"""How the figures are shown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .contenders import Contender
from .sides import Pair, Side

BARE_MS = 0.10  # the yardstick, 10 connections, on the machine of the parts' goals


@dataclass(frozen=True)
class Seen:
    """One side: CPU-ms a mail, mails/s, latencies in ms, MiB."""

    name: str
    cpu_ms: float
    helpers_ms: Mapping[str, float]
    mails_per_s: float
    p50_ms: float
    p99_ms: float
    rss_mib: float
    pss_mib: float
    verdicts: Mapping[str, int]

    @property
    def all_ms(self) -> float:
        """With its helpers."""
        return self.cpu_ms + sum(self.helpers_ms.values())


@dataclass(frozen=True)
class Row:
    """Ours and its peer, alternating; `ratios` are of CPU with helpers, round by round."""

    at_once: int
    mails: int
    ours: Seen
    theirs: Seen
    ratios: tuple[float, ...]
    target: float | None
    over_ms: float | None

    @property
    def ratio(self) -> float:
        """The middle one."""
        return statistics.median(self.ratios)

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.over_ms is not None:
            return self.over <= self.over_ms
        return None if self.target is None else self.ratio <= self.target

    @property
    def over(self) -> float:
        """Milliseconds of our own process above those of the peer's."""
        return self.ours.cpu_ms - self.theirs.cpu_ms


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


def row(contender: Contender, measured: Pair, at_once: int) -> Row:
    """What a pair's rounds came to."""
    return Row(
        at_once,
        measured.ours.outcome.answered,
        seen(measured.ours),
        seen(measured.theirs),
        tuple(round(ratio, 4) for ratio in measured.ratios),
        contender.target,
        contender.over_ms,
    )


def seen(side: Side) -> Seen:
    """One side's figures."""
    outcome, memory = side.outcome, side.memory
    return Seen(
        side.name,
        round(side.own_ms, 3),
        {name: round(ms, 3) for name, ms in side.helpers_ms.items()},
        round(outcome.answered / side.wall, 1),
        round(outcome.since_sent.quantile(0.5) * 1000, 2),
        round(outcome.since_sent.quantile(0.99) * 1000, 2),
        round(memory.rss, 1),
        round(memory.pss, 1),
        dict(outcome.verdicts + outcome.errors),
    )


def title(python: str, mails: int, octets: int, reuse: int, rspamd: str) -> str:
    """What was done, and the head of the table."""
    return (
        f"Python {python}, {mails} mails (middle one {octets / 1024:.1f} KiB), DNS answers "
        f"cached where the filter caches,\n{reuse} mail(s) on a connection, log and decision "
        f"records written; rspamd is {rspamd or 'absent'}.\n"
        "Filter and helpers on one core, client and DNS on another: mails/s are of one core.\n\n"
        f"{'':22} {'c':>3} {'CPU ms':>8} {'+helpers':>8} {'mails/s':>8} "
        f"{'p50 ms':>7} {'p99 ms':>7} {'RSS':>5} {'PSS':>5}  verdicts"
    )


def lines(one: Row) -> str:
    """The two lines of a comparison, and the ratio."""
    least, most = min(one.ratios), max(one.ratios)
    told = f"ratio {one.ratio:.3f} ({least:.3f} to {most:.3f} in {len(one.ratios)} rounds)"
    if one.over_ms is not None:
        told += f"; {one.over:.2f} ms over, of {one.over_ms:.2f}"
    elif one.target is not None:
        told += f", of {one.target:.3g}"
    if one.reached is not None:
        told += ": met" if one.reached else ": MISSED"
    return "\n".join((_line(one.ours, one.at_once), _line(one.theirs, 0), f"{'':26} {told}"))


def _line(side: Seen, at_once: int) -> str:
    verdicts = " ".join(f"{word} {count}" for word, count in sorted(side.verdicts.items()))
    name = side.name if at_once else f"  {side.name}"
    return (
        f"{name:22} {at_once or '':>3} {side.cpu_ms:>8.3f} {side.all_ms:>8.3f} "
        f"{side.mails_per_s:>8.0f} {side.p50_ms:>7.2f} {side.p99_ms:>7.2f} "
        f"{side.rss_mib:>5.0f} {side.pss_mib:>5.0f}  {verdicts}"
    )


def foot(rows: Sequence[Row]) -> str:
    """Where we lose to a peer, whatever the target says."""
    worse = [f"  {words}" for one in rows for words in _lost(one)]
    return "\n".join(("\nWhere we lose:", *(worse or ["  nowhere, in what was measured"])))


def _lost(one: Row) -> list[str]:
    ours, theirs, found = one.ours, one.theirs, []
    where = f"{ours.name} against {theirs.name}, {one.at_once} at once"
    for what, mine, other in (
        ("CPU ms with helpers", ours.all_ms, theirs.all_ms),
        ("p50 ms", ours.p50_ms, theirs.p50_ms),
        ("p99 ms", ours.p99_ms, theirs.p99_ms),
        ("PSS MiB", ours.pss_mib, theirs.pss_mib),
    ):
        if mine > other * 1.05:
            found.append(f"{where}: {what} {mine:.2f}, theirs {other:.2f}")
    return found


def parts_head() -> str:
    """The head of the parts."""
    return f"\n{'part':40} {'CPU µs':>9} {'goal':>6}   (scaled: by what a bare loop costs here)"


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


def _word(share: float) -> str:
    return "met" if share <= 1 else f"MISSED by {share * 100 - 100:.0f} %"


def data(rows: Sequence[Row], figures: Sequence[Figure]) -> dict[str, Any]:
    """All of it, for machines."""
    compared = [{**asdict(one), "ratio": one.ratio, "reached": one.reached} for one in rows]
    return {"rows": compared, "parts": [asdict(part) for part in figures]}
