"""What is told of a limit: is it kept, what is left, when to come again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

REFUSED_S = 1.0  # a refusal may be given again for so long, when it holds for so long


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether it may be; `left` of the limit; `wait` seconds until it may, 0.0 when it may."""

    allowed: bool
    left: float
    wait: float = 0.0


def allowance(reply: Sequence[Any]) -> Allowance:
    """From a script's reply."""
    return Allowance(int(reply[0]) == 1, float(reply[1]), float(reply[2]))


def still_refused(answer: Allowance) -> float:
    """A refusal takes nothing, so who is far over the limit need not be looked up again."""
    return 0.0 if answer.allowed else min(answer.wait, REFUSED_S)
