"""What is measured end to end: pipelines, from nothing to everything but the scanner."""

from __future__ import annotations

from dataclasses import dataclass

from .noops import FILTERS

_AUTH = ("spf", "dkim", "dmarc")
_FULL = (*_AUTH, "greylist", "spam", "stamp")
_OPTIONS = {
    # a second's wait: the warm-up's mails are new, those that are measured come again
    "greylist": 'wait = "1s"\nwindow = "1h"\nallow_after = 0\n',
}


@dataclass(frozen=True)
class Contender:
    """One pipeline; `goal` is the CPU time in ms that a mail may cost, None without one."""

    name: str
    pipeline: str
    goal: float | None = None


def _pipeline(policy: str, *filters: str) -> str:
    tables = (f'[[filter]]\nuse = "{name}"\n{_OPTIONS.get(name, "")}' for name in filters)
    return "\n".join((f'policy = "{policy}"\n', *tables))


CONTENDERS = (
    Contender("no-op", _pipeline("pass", "noop-message"), 0.40),
    Contender("no-op × 7", _pipeline("pass", *FILTERS)),
    Contender("spf dkim dmarc", _pipeline("default", *_AUTH), 1.2),
    Contender("full", _pipeline("default", *_FULL), 2.0),
    Contender("full + archive", _pipeline("default", *_FULL, "archive")),
)
