"""`make bench`: what a mail costs.

CPU milliseconds of the daemon for each mail, mails a second, latencies and memory; then
the single parts in microseconds.  Figures, never assertions: machines differ, ratios do
less.  The daemon has one core for itself, client and name server the other.

    python -m tests.bench [--quick] [--json FILE] [--only NAME] [--reuse N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from . import micro, report
from .contenders import CONTENDERS, Contender
from .corpus import Corpus, make
from .daemon import BARE, daemon
from .load import Load, Outcome, Script
from .nameserver import nameserver
from .report import Row

CONCURRENCY = (1, 10)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(prog="make bench", description="What a mail costs.")
    parser.add_argument("--quick", action="store_true", help="fewer mails, under 20 seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--only", default="", metavar="WORD", help="contenders with that word")
    parser.add_argument("--reuse", type=int, default=1, help="mails on one milter connection")
    parser.add_argument("--no-micro", action="store_true", help="end to end only")
    return parser.parse_args(given)


def cores() -> tuple[int, int]:
    """One for the daemon, one for us; the same where there is only one."""
    have = sorted(os.sched_getaffinity(0))
    return have[-1], have[0]


def main() -> int:
    """Measure and print."""
    chosen = arguments()
    theirs, ours = cores()
    os.sched_setaffinity(0, {ours})
    corpus = make(60 if chosen.quick else 300)
    print(report.title(platform.python_version(), len(corpus.mails), corpus.octets, chosen.reuse))
    with Measured(BARE, corpus, theirs, chosen.reuse) as bare:
        rows = []
        for contender in CONTENDERS:
            if chosen.only in contender.name:
                for row in _measure(contender, bare, corpus, theirs, chosen):
                    rows.append(row)
                    print(report.line(row), flush=True)
    print(report.foot(rows))
    figures = [] if chosen.no_micro else micro.figures(corpus, chosen.quick)
    slowness, kept = report.slowness_of(rows), []
    for figure in figures:
        kept.append(figure)
        print(report.figure(figure, slowness), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(report.data(rows, kept), indent=1) + "\n")
    return 0


class Measured:
    """One daemon under load, and what that has cost since `reset`."""

    def __init__(self, pipeline: str, corpus: Corpus, core: int, reuse: int) -> None:
        self._scripts = [Script(mail, number) for number, mail in enumerate(corpus.mails)]
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="millrace-bench-"))
        servers = self._stack.enter_context(nameserver(corpus.zone))
        started = daemon(Path(folder), pipeline, core=core, servers=servers)
        self.daemon = self._stack.enter_context(started)
        self._load = Load(self.daemon.port, self._scripts, reuse)
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *trouble: object) -> None:
        self._stack.close()

    def reset(self) -> None:
        """Forget what was measured."""
        self.outcome, self.cpu, self.wall = Outcome(), 0.0, 0.0

    def burst(self, concurrency: int) -> None:
        """The whole corpus once."""
        before, began = self.daemon.usage(), time.perf_counter()
        self.outcome += self._load.run(len(self._scripts), concurrency)
        self.wall += time.perf_counter() - began
        self.cpu += self.daemon.usage().cpu - before.cpu

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of the daemon for each mail."""
        return self.cpu * 1000 / len(self.outcome.seconds)


def _measure(
    contender: Contender, bare: Measured, corpus: Corpus, core: int, chosen: argparse.Namespace
) -> Iterator[Row]:
    """Contender and yardstick in turn, since a machine's speed changes by the second."""
    with Measured(contender.pipeline, corpus, core, chosen.reuse) as measured:
        measured.burst(10)  # DNS answers, greylist triplets, code that was never run
        if "greylist" in contender.pipeline:
            time.sleep(1.2)
            measured.burst(10)
        for concurrency in CONCURRENCY:
            measured.reset()
            bare.reset()
            for _ in range(1 if chosen.quick else 4):
                bare.burst(concurrency)
                measured.burst(concurrency)
            yield Row(
                contender.name,
                concurrency,
                len(measured.outcome.seconds),
                round(measured.cpu_ms, 3),
                round(bare.cpu_ms, 3),
                round(len(measured.outcome.seconds) / measured.wall, 1),
                round(measured.outcome.quantile(0.5), 2),
                round(measured.outcome.quantile(0.99), 2),
                round(measured.daemon.usage().rss, 1),
                dict(measured.outcome.verdicts),
                contender.goal,
            )


if __name__ == "__main__":
    sys.exit(main())
