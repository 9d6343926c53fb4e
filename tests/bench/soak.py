"""`make soak`: the full pipeline at 70 % of what it can do, and nothing may grow.

Capacity is measured first, in a closed loop.  Then mails arrive at an even pace for fifteen
minutes.  Every second one is new, of a sender and to a recipient that were never seen, and
is greylisted; the other is one that was, comes again, and passes through all filters.
So most of a million addresses are seen, and both kinds of work are done all the time.

Memory, open files and the state's size are read from /proc every ten seconds; the verdict
is a slope over the second half.  The state may grow as long as new addresses come, so it
is counted for each pair of them.

    python -m tests.bench.soak [--for 15m] [--workers 2] [--distinct 1000000] [--share 0.7]

Exit status 1 when something grows.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from millrace.engine.load import crew, mails, report
from millrace.engine.load.drive import Drive, Plan
from millrace.engine.load.history import Run, now
from millrace.engine.load.milter import MilterTalk, Script
from millrace.engine.load.timing import Outcome, Rate
from millrace.engine.net.endpoint import Endpoint

from . import processes
from .contenders import FULL
from .daemon import Setting, daemon
from .flat import Trend, trend

_TOLERANCE = {"RSS MiB": 0.05, "open files": 0.10, "state octets a pair": 0.10}
BACK = 2000  # new ones between a mail's first coming and its second: longer than the greylist waits
Series = dict[str, list[tuple[float, float]]]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(prog="make soak", description="Does anything grow?")
    parser.add_argument("--for", dest="seconds", type=_seconds, default=900.0, metavar="TIME")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--distinct", type=int, default=1_000_000, help="pairs of addresses, at most"
    )
    parser.add_argument("--share", type=float, default=0.7, help="of the capacity")
    parser.add_argument("--every", type=float, default=0.0, help="seconds between samples")
    return parser.parse_args(given)


def _seconds(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    return float(text[:-1]) * units[text[-1]] if text[-1:] in units else float(text)


def main(given: Sequence[str] | None = None) -> int:
    """Run, print the table, and say whether all is flat."""
    chosen = arguments(given)
    mail = returning(mails.made(chosen.distinct))
    with tempfile.TemporaryDirectory(prefix="millrace-soak-") as made:
        folder = Path(made)
        setting = Setting(FULL, zone={}, workers=chosen.workers)
        with daemon(folder, setting, os.sched_getaffinity(0)) as running:
            where = Endpoint.parse(running.address)
            capacity = _capacity(where, mail, min(10.0, chosen.seconds / 4))
            rate = Rate(capacity * chosen.share, 1.0, chosen.seconds)
            print(f"capacity {capacity:.0f} mails/s; {rate.each_s:.0f}/s for {rate.seconds:.0f} s")
            sampler = Sampler(running.pid, folder, chosen.every or min(10.0, chosen.seconds / 12))
            sampler.start()
            plan = Plan(1000, rate, None, chosen.seconds * 1.5)
            outcome = crew.run(where, lambda n: MilterTalk(Script(mail(n), n)), plan, 1)
            sampler.stop()
    print("\n".join(report.told(Run(now(), "soak", str(where), outcome), rate, None)))
    return told(sampler.trends(rate, chosen.distinct), outcome)


def returning(made: mails.Mails) -> mails.Mails:
    """Every second mail comes for the second time, once there are such."""

    def mail(number: int) -> mails.Mail:
        new, again = divmod(number, 2)
        return made(new - BACK if again and new >= BACK else new)

    return mail


def _capacity(where: Endpoint, mail: mails.Mails, seconds: float) -> float:
    """Mails a second in a closed loop, once there are mails that come again."""
    talk = lambda n: MilterTalk(Script(mail(n), n))  # noqa: E731
    Drive(where, talk, Plan(20, seconds=seconds / 2)).run()
    seen = Drive(where, talk, Plan(20, seconds=seconds)).run()
    return seen.answered / seen.seconds


def told(trends: Sequence[Trend], outcome: Outcome) -> int:
    """The table and the verdict, as an exit status."""
    print(f"\n{'':26} {'first':>10} {'middle':>10} {'growth':>10} {'scatter':>10}")
    for each in trends:
        word = "flat" if each.flat else "GROWS"
        print(
            f"{each.name:26} {each.first:>10.1f} {each.middle:>10.1f} {each.growth:>10.2f} "
            f"{each.scatter:>10.2f}  {word}"
        )
    failed = outcome.errors.total() + outcome.unsent
    if failed:
        print(f"{failed} mails got no answer")
    return 0 if all(each.flat for each in trends) and not failed else 1


class Sampler(threading.Thread):
    """Reads /proc and the state's file every so many seconds."""

    def __init__(self, pid: int, folder: Path, every: float) -> None:
        super().__init__(daemon=True)
        self._pid, self._folder, self._every = pid, folder, every
        self._over = threading.Event()
        self._began = time.monotonic()
        self.series: Series = {"RSS MiB": [], "open files": [], "state octets": []}

    def run(self) -> None:
        """Sample until stopped."""
        while not self._over.wait(self._every):
            at = time.monotonic() - self._began
            for name, value in sample(self._pid, self._folder).items():
                self.series[name].append((at, value))

    def stop(self) -> None:
        """No more."""
        self._over.set()
        self.join()

    def trends(self, rate: Rate, distinct: int) -> list[Trend]:
        """Each series' trend; the state counts for each pair that was seen."""
        series = dict(self.series)
        state = series.pop("state octets")
        seen = [(at, size, min(rate.each_s / 2 * at, distinct)) for at, size in state]
        series["state octets a pair"] = [(at, size / max(n, 1)) for at, size, n in seen]
        return [trend(name, samples, _TOLERANCE[name]) for name, samples in series.items()]


def sample(pid: int, folder: Path) -> dict[str, float]:
    """What a daemon and its workers hold now."""
    pids = processes.tree([pid])
    files = 0
    for each in pids:
        try:
            files += len(os.listdir(f"/proc/{each}/fd"))
        except OSError:
            continue  # it has just ended
    state = sum(path.stat().st_size for path in folder.glob("state.db*"))
    return {
        "RSS MiB": processes.memory(pids).rss,
        "open files": float(files),
        "state octets": float(state),
    }


if __name__ == "__main__":
    sys.exit(main())
