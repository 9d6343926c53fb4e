"""A circuit breaker: who does not answer is asked no more, for a while.

    closed ── `failures` in a row ──► open ── the pause is over ──► half-open
      ▲                                 ▲                               │ one call goes as a probe
      └────────── success ──────────────┴──── failure: a longer pause ──┘

Failures are counted in a row, not as a share: a service that answers some is worth asking,
and one that is away answers nobody, so a row ends sooner than a window fills.  Calls that are
spared fail at once, so nothing waits for the recovery and nothing rushes in at it; one probe
at a time asks.  Pauses double up to `pause_max`, each shortened by up to a half at random, so
that the workers of a host do not probe in step.

A probe of which nothing is heard for `pause_max` is given up for another.

Fails: `admit` raises `Unavailable` while the service is not asked; nothing else raises.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from millrace.engine.errors import Unavailable

_log = logging.getLogger("millrace.services")
State = Literal["closed", "half-open", "open"]
LEVELS: dict[State, int] = {"closed": 0, "half-open": 1, "open": 2}
FAILURES = 5


class Probe(float):
    """The call that is to find out whether the service is back: the time when it began."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """When it opens, and for how many seconds.

    `patience`: a call that was cancelled after so many seconds was a time-out; one that was
    cancelled sooner was given up for another reason, and says nothing of the service.
    """

    failures: int = FAILURES
    pause: float = 0.5
    pause_max: float = 30.0
    patience: float = 1.0


class Breaker:
    """The breaker before one service at one address; `tick` is monotonic, `chance` 0 to 1.

    Each call that `admit` lets through must end in `succeeded`, `failed` or `cancelled`.
    """

    def __init__(
        self,
        service: str,
        where: str = "",
        terms: Terms | None = None,
        tick: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.service, self.where, self.terms = service, where, terms or Terms()
        self.openings = 0
        self.spared = 0  # calls that were not made, ever
        self._tick, self._chance = tick, chance
        self._row = 0  # failures since the last success
        self._away = False
        self._pause = 0.0
        self._since = self._retry_at = 0.0
        self._probe: Probe | None = None
        self._spared_before = 0
        self._why = ""

    @property
    def state(self) -> State:
        """half-open: the pause is over, the next call or the one under way is the probe."""
        if not self._away:
            return "closed"
        return "half-open" if self._probe or self._tick() >= self._retry_at else "open"

    def admit(self) -> float:
        """When this call begins; raises `Unavailable` for a call that is spared."""
        if self._away:
            return self._probed()
        return self._tick()

    def succeeded(self) -> None:
        """The service has answered, whatever the answer was."""
        self._row = 0
        if self._away:
            self._close()

    def failed(self, began: float, why: str) -> None:
        """It has not."""
        if self._away:
            if began is self._probe:
                self._probe = None
                self._rest(min(self._pause * 2, self.terms.pause_max), why)
            return  # what began before it opened tells nothing new
        self._row += 1
        if self._row >= self.terms.failures:
            self._open(why)

    def cancelled(self, began: float) -> None:
        """Nobody waits for the answer any more."""
        if self._tick() - began >= self.terms.patience:
            self.failed(began, "gave no answer in time")
        elif began is self._probe:
            self._probe = None  # the next call probes

    def as_json(self) -> dict[str, Any]:
        """For /readyz, /status and /health/graph; seconds."""
        told: dict[str, Any] = {"state": self.state, "openings": self.openings}
        if self._away:
            now = self._tick()
            told["open_s"] = round(now - self._since, 1)
            told["next_try_s"] = round(max(self._retry_at - now, 0.0), 1)
            told["spared"] = self.spared - self._spared_before
            told["why"] = self._why
        return told

    # --- what happens when

    def _probed(self) -> Probe:
        now = self._tick()
        lost = self._probe is not None and now - self._probe >= self.terms.pause_max
        if lost or (self._probe is None and now >= self._retry_at):
            self._probe = Probe(now)
            return self._probe
        self.spared += 1
        left = max(self._retry_at - now, 0.0)
        when = "a probe is under way" if self._probe is not None else f"next try in {left:.1f} s"
        raise Unavailable(self._name, f"{self._why}; not asked, {when}", left)

    def _open(self, why: str) -> None:
        self._away, self._probe, self._since = True, None, self._tick()
        self._spared_before = self.spared
        self.openings += 1
        self._rest(self.terms.pause, why)
        words = "%s is away (%s): not asked for now, filters go by their on_error"
        _log.warning(words, self._name, why)

    def _rest(self, pause: float, why: str) -> None:
        self._pause, self._why = pause, why
        self._retry_at = self._tick() + pause * (1 - self._chance() / 2)

    def _close(self) -> None:
        away, spared = self._tick() - self._since, self.spared - self._spared_before
        self._away, self._probe = False, None
        words = "%s is back after %.1f s, %d calls were spared"
        _log.warning(words, self._name, away, spared)

    @property
    def _name(self) -> str:
        return f"{self.service} {self.where}".strip()
