"""`make bench`: what a mail costs.

CPU milliseconds of the daemon for each mail, mails a second, latencies and memory; then
the single parts in microseconds.  Figures, never assertions: machines differ, ratios do
less.  The daemon has one core for itself, client and name server the other.

    python -m tests.bench [--quick] [--json FILE] [--only NAME] [--reuse N]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from . import micro, report
from .contenders import CONTENDERS, Contender
from .corpus import Corpus, make
from .daemon import daemon
from .load import Load, Script
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
    rows: list[Row] = []
    for contender in CONTENDERS:
        if chosen.only in contender.name:
            for row in _measure(contender, corpus, theirs, chosen):
                rows.append(row)
                print(report.line(row), flush=True)
    print(report.foot(rows))
    figures = [] if chosen.no_micro else micro.figures(corpus, chosen.quick)
    for figure in figures:
        print(report.figure(figure), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(report.data(rows, figures), indent=1) + "\n")
    return 0


def _measure(
    contender: Contender, corpus: Corpus, core: int, chosen: argparse.Namespace
) -> list[Row]:
    scripts = [Script(mail, number) for number, mail in enumerate(corpus.mails)]
    rounds = 1 if chosen.quick else 4
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder,
        nameserver(corpus.zone) as servers,
        daemon(Path(folder), contender.pipeline, core=core, servers=servers) as under_test,
    ):
        load = Load(under_test.port, scripts, chosen.reuse)
        load.run(len(scripts), 10)  # DNS answers, greylist triplets, code that was never run
        if "greylist" in contender.pipeline:
            time.sleep(1.2)
            load.run(len(scripts), 10)
        for concurrency in CONCURRENCY:
            before, began = under_test.usage(), time.perf_counter()
            outcome = load.run(len(scripts) * rounds, concurrency)
            wall, after = time.perf_counter() - began, under_test.usage()
            found.append(Row.of(contender, concurrency, outcome, wall, before, after))
    return found


if __name__ == "__main__":
    sys.exit(main())
