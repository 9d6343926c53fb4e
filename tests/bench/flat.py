"""Is it flat?  The slope of samples over the second half of a run.  Pure.

The first half is for caches and tables to fill.  What grows by more than `tolerance` of
its middle value in the second half is not flat; a slope that is within the samples' own
scatter says nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Trend:
    """One series: its name, the middle of its second half, growth over it, in its unit."""

    name: str
    first: float
    middle: float
    growth: float
    scatter: float
    tolerance: float

    @property
    def flat(self) -> bool:
        """Whether it does not grow."""
        return self.growth <= max(self.tolerance * abs(self.middle), 2 * self.scatter)


def trend(name: str, samples: Sequence[tuple[float, float]], tolerance: float) -> Trend:
    """The trend of (seconds, value); at least four samples are needed."""
    if len(samples) < 4:
        raise ValueError(f"{name}: {len(samples)} samples are too few")
    half = samples[len(samples) // 2 :]
    times, values = [at for at, _ in half], [value for _, value in half]
    slope, start = statistics.linear_regression(times, values)
    apart = [value - (start + slope * at) for at, value in half]
    return Trend(
        name,
        samples[0][1],
        statistics.median(values),
        slope * (times[-1] - times[0]),
        statistics.pstdev(apart),
        tolerance,
    )
