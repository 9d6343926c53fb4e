"""What is measured end to end: pipelines, from nothing to everything, and their peers."""

from __future__ import annotations

from dataclasses import dataclass

from .noops import FILTERS

_OPTIONS = {
    # a second's wait: the warm-up's mails are new, those that are measured come again
    "greylist": 'wait = "1s"\nwindow = "1h"\nallow_after = 0\n',
    "virus": 'socket = "{clamd}"\non_error = "defer"\n',
}


@dataclass(frozen=True)
class Contender:
    """One pipeline of ours, and the `peer` that does the same work.

    `target` is the share of the peer's CPU time, helpers' included, that a mail may cost;
    with `over_ms` it is milliseconds of our own above the peer's, which is then a pipeline
    of ours.  `redis` and `clamd` are the helpers that ours asks.
    """

    name: str
    pipeline: str
    peer: str = ""
    target: float | None = None
    over_ms: float | None = None
    redis: bool = False
    clamd: bool = False


def pipeline(policy: str, *filters: str) -> str:
    """A pipeline of these filters, as TOML."""
    tables = (f'[[filter]]\nuse = "{name}"\n{_OPTIONS.get(name, "")}' for name in filters)
    return "\n".join((f'policy = "{policy}"\n', *tables))


NOTHING = pipeline("pass", "noop-message")
AUTH = pipeline("default", "spf", "dkim", "arc", "dmarc", "stamp")
_FULL = ("spf", "dkim", "arc", "dmarc", "greylist", "spam", "stamp")
FULL = pipeline("default", *_FULL)
CONTENDERS = (
    Contender("no-op", NOTHING, "libmilter", target=0.75),
    Contender("spf dkim arc dmarc", AUTH, "rspamd auth", target=0.4),
    Contender("full", FULL, "rspamd", target=0.4, redis=True),
    Contender("full", FULL, "spamassassin", target=0.02, redis=True),
    Contender(
        "full + clamd",
        pipeline("default", *_FULL, "virus"),
        "rspamd+clamd",
        redis=True,
        clamd=True,
    ),
    Contender("clamd alone", pipeline("pass", "virus"), "no-op", over_ms=0.5, clamd=True),
    Contender("clamd alone", pipeline("pass", "virus"), "clamav-milter", clamd=True),
    Contender("dkim", pipeline("pass", "dkim", "stamp"), "opendkim"),
    Contender("spf dkim dmarc", pipeline("default", "spf", "dkim", "dmarc", "stamp"), "opendmarc"),
    Contender("spf", pipeline("pass", "spf", "stamp"), "pyspf-milter"),
    Contender("no-op × 7", pipeline("pass", *FILTERS), "no-op"),
    Contender("full + archive", pipeline("default", *_FULL, "archive"), "full", redis=True),
)
# peers that are pipelines of our own
OURS = {"no-op": CONTENDERS[0], "full": CONTENDERS[2]}
