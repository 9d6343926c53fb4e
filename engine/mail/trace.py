"""The trace: what each filter did to one mail, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RunState = Literal["ran", "skipped", "failed", "timed-out", "not-reached"]


@dataclass(frozen=True, slots=True)
class Run:
    """One filter's run; `ms` are wall milliseconds, `note` is for people."""

    name: str
    stage: str
    state: RunState
    ms: float = 0.0
    note: str = ""
