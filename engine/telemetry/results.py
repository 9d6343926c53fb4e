"""Results by method and reason: what SPF, DKIM, ARC, DMARC and the like found.

Every fact with a field `result` is counted, and its `reason` if it has one.  Reasons are
written for people and may quote a stranger's record; a label must not, since each new text
would be a new time series for ever.  So a reason is reduced to its plain words, and a
method has at most `REASONS_MAX` of them; what comes later counts as "other".

Fails: never.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from millrace.engine.mail.finding import Fact
from millrace.engine.telemetry.tally import Tally

REASONS_MAX = 64  # of one method
REASON_WORDS = 8
_READ_MAX = 200  # characters of a reason that are looked at
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]{0,24}=?")


@functools.lru_cache(maxsize=1024)
def gist(reason: str) -> str:
    """The plain words of a reason: no names, numbers, quotations, nor what follows a colon.

    >>> gist("only other domains speak for it: good.example")
    'only other domains speak for it'
    """
    words = reason[:_READ_MAX].partition(":")[0].split()
    # the mark is taken off a word of ours only after it was seen to hold no dot within
    plain = [word.strip("().,;") for word in words if "." not in word.rstrip(".")]
    return " ".join([word for word in plain if _WORD.fullmatch(word)][:REASON_WORDS])


class ResultCounter:
    """The counter `millrace_results_total`, with bounded labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._found = Tally(
            "millrace_results",
            "What the methods found, by result and the plain words of the reason",
            ("method", "result", "reason"),
            registry,
        )
        self._reasons: dict[str, set[str]] = {}

    def count(self, facts: Mapping[str, Fact]) -> None:
        """Count one mail's facts, by the names that its pipeline gives them."""
        for method, fact in facts.items():
            result = getattr(fact, "result", None)
            if isinstance(result, str):
                reason = self._bounded(method, str(getattr(fact, "reason", "")))
                self._found.counts[method, result[:32], reason] += 1

    def _bounded(self, method: str, reason: str) -> str:
        words = gist(reason)
        known = self._reasons.setdefault(method, set())
        if words in known:
            return words
        if len(known) >= REASONS_MAX:
            return "other"
        known.add(words)
        return words
