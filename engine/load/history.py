"""Runs that were kept, one JSON object a line, and what changed since one of them.

Only runs of the same kind are compared: the same role, and the same rate or number at once.

Fails: `last` raises Misconfigured for a file that holds no run; `keep` raises Unavailable.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.engine.errors import Fault, Misconfigured, Unavailable
from millrace.engine.load.timing import Latencies, Outcome

QUANTILES = (0.5, 0.95, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: when, what was asked for (`kind`), of whom, and what came of it."""

    time: str
    kind: str
    target: str
    outcome: Outcome

    def data(self) -> dict[str, Any]:
        """As JSON keeps it; the quantiles are for readers, the buckets for us."""
        outcome = self.outcome
        return {
            "time": self.time,
            "kind": self.kind,
            "target": self.target,
            "answered": outcome.answered,
            "per_second": round(outcome.answered / max(outcome.seconds, 1e-9), 2),
            "ms": {name: round(s * 1000, 3) for name, s in quantiles(outcome.since_due).items()},
            "verdicts": dict(outcome.verdicts),
            "errors": dict(outcome.errors),
            "edits": outcome.edits,
            "unsent": outcome.unsent,
            "seconds": round(outcome.seconds, 3),
            "busy": round(outcome.busy, 3),
            "since_due": outcome.since_due.data(),
            "since_sent": outcome.since_sent.data(),
        }

    @staticmethod
    def of(data: Mapping[str, Any]) -> Run:
        """What `data` gave; raises ValueError or KeyError for anything else."""
        outcome = Outcome(
            Latencies.of(data["since_due"]),
            Latencies.of(data["since_sent"]),
            Counter(data["verdicts"]),
            Counter(data["errors"]),
            int(data["edits"]),
            float(data["seconds"]),
            float(data["busy"]),
            int(data["unsent"]),
        )
        return Run(str(data["time"]), str(data["kind"]), str(data["target"]), outcome)


def quantiles(latencies: Latencies) -> dict[str, float]:
    """Seconds, by the names that people know; the greatest too."""
    names = {f"p{share * 100:g}": latencies.quantile(share) for share in QUANTILES}
    return names | {"max": latencies.greatest}


def now() -> str:
    """The present moment, as a run keeps it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def keep(path: Path, run: Run) -> None:
    """Add a run to the file."""
    try:
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(run.data()) + "\n")
    except OSError as error:
        raise Unavailable(str(path), error.strerror or str(error)) from error


def last(path: Path, kind: str) -> Run | None:
    """The last run of that kind; None when the file holds others only."""
    try:
        lines = path.read_text("utf-8").splitlines()
        runs = [Run.of(json.loads(line)) for line in lines if line.strip()]
    except OSError as error:
        raise Misconfigured(Fault(f"{path}: {error.strerror}")) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "It is written by `millrace load --history`."
        raise Misconfigured(Fault(f"{path} is no history of runs", hint)) from error
    return next((run for run in reversed(runs) if run.kind == kind), None)
