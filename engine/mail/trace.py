"""The trace: what each filter did to one mail, and how long it took."""

from __future__ import annotations

from typing import Literal, NamedTuple

RunState = Literal["ran", "skipped", "failed", "timed-out", "not-reached"]


class Run(NamedTuple):
    """One filter's run; `ms` are wall milliseconds, `note` is for people.

    A tuple: every mail makes one for each filter, and a frozen dataclass costs four times as much.
    """

    name: str
    stage: str
    state: RunState
    ms: float = 0.0
    note: str = ""
