"""When mails are due, and how long they took.  Pure.

An open loop sends at stated moments, whether the server keeps up or not, and a mail's
time counts from the moment at which it was due: a client that waits for a slow server
before it sends again would leave out the very mails that had to wait ("coordinated
omission").  A closed loop has so many mails under way, and no moments.

Fails: `Latencies.of` raises ValueError for what `data` has not written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_STEP = math.log(1.01)  # a bucket is 1 % wide, so a quantile is at most 1 % too high
_LEAST_S = 1e-6


@dataclass(frozen=True, slots=True)
class Rate:
    """Arrivals at an even pace: `count` mails in each `per` seconds, for `seconds`.

    `share` of `shares` takes every so-many-th arrival, so that several clients together
    make the whole.
    """

    count: float
    per: float
    seconds: float
    share: int = 0
    shares: int = 1

    @property
    def each_s(self) -> float:
        """Arrivals a second, of all shares together."""
        return self.count / self.per

    @property
    def total(self) -> int:
        """How many mails are due, of all shares together."""
        return math.ceil(round(self.seconds * self.each_s, 6))

    def moments(self) -> Iterator[float]:
        """Seconds after the start at which this share's mails are due, in order."""
        gap = self.per / self.count
        return (number * gap for number in range(self.share, self.total, self.shares))


@dataclass(slots=True)
class Latencies:
    """Durations in buckets of 1 %: bounded memory, whatever their number; they add up."""

    buckets: Counter[int] = field(default_factory=Counter)
    greatest: float = 0.0

    def add(self, seconds: float) -> None:
        """Note one."""
        self.buckets[_bucket(seconds)] += 1
        self.greatest = max(self.greatest, seconds)

    def __len__(self) -> int:
        return self.buckets.total()

    def __add__(self, other: Latencies) -> Latencies:
        return Latencies(self.buckets + other.buckets, max(self.greatest, other.greatest))

    def quantile(self, share: float) -> float:
        """Seconds that this share of them did not exceed, at most 1 % too high; 0 of none."""
        wanted = max(math.ceil(share * len(self)), 1)
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return min(_LEAST_S * math.exp(bucket * _STEP), self.greatest)
        return 0.0

    def data(self) -> dict[str, object]:
        """As JSON keeps it."""
        return {"greatest": self.greatest, "buckets": {str(b): n for b, n in self.buckets.items()}}

    @staticmethod
    def of(data: Mapping[str, object]) -> Latencies:
        """What `data` gave."""
        buckets, greatest = data.get("buckets"), data.get("greatest")
        if not isinstance(buckets, Mapping) or not isinstance(greatest, (int, float)):
            raise ValueError("these are no latencies")
        return Latencies(Counter({int(b): int(n) for b, n in buckets.items()}), float(greatest))


def _bucket(seconds: float) -> int:
    return math.ceil(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _STEP)


@dataclass(slots=True)
class Outcome:
    """What one run saw.

    `since_due` counts from when a mail was due, `since_sent` from when its conversation
    began.  `verdicts` are the server's words, `errors` conversations without one, by kind;
    `edits` are header and body changes that it asked for.  `busy` is the client's share of
    a core: above 0.9 the client was the limit.
    """

    since_due: Latencies = field(default_factory=Latencies)
    since_sent: Latencies = field(default_factory=Latencies)
    verdicts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    edits: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    unsent: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.since_due + other.since_due,
            self.since_sent + other.since_sent,
            self.verdicts + other.verdicts,
            self.errors + other.errors,
            self.edits + other.edits,
            max(self.seconds, other.seconds),
            max(self.busy, other.busy),
            self.unsent + other.unsent,
        )

    @property
    def answered(self) -> int:
        """Mails that got a verdict."""
        return self.verdicts.total()
