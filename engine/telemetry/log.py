"""The log: one line for each mail and each event, for people or for machines.

Text on a terminal, one JSON object a line with `--log json`.  Text of strangers (addresses,
subjects) is cleaned, so that no mail can write a line of its own.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import IO, Any, Protocol, cast

from millrace.engine.mail.trace import Run
from millrace.engine.policy.decision import Decision, iso, json_line

_root = logging.getLogger("millrace")
_mail = logging.getLogger("millrace.mail")
_LINE = "%-14s %-8s %-16s %s → %s   %s   %.1f   %.0f ms"
RECIPIENTS_MAX = 50  # in one line; the record has all
_WORDS = {
    "pass": "accept",
    "tag": "tag",
    "quarantine": "hold",
    "defer": "defer",
    "reject": "refuse",
    "discard": "discard",
}


def set_up(form: str, level: str, stream: IO[str] | None = None) -> None:
    """Log to `stream` (stderr); `form` is "text", "json" or "auto" (text on a terminal)."""
    out = stream or sys.stderr
    if form == "auto":
        form = "text" if out.isatty() else "json"
    _root.handlers[:] = [Lines(out, JsonLines() if form == "json" else TextLines())]
    _root.setLevel(level.upper())
    _root.propagate = False


class Form(Protocol):
    """How lines look."""

    def format(self, record: logging.LogRecord) -> str: ...
    def mail(self, data: dict[str, Any], moment: float) -> str: ...


class Lines(logging.StreamHandler[IO[str]]):
    """Writes to one stream.  A mail's line makes no record: that cost a tenth of a plain mail."""

    def __init__(self, stream: IO[str], form: Form) -> None:
        super().__init__(stream)
        self._form = form
        self.format = form.format  # type: ignore[method-assign]

    def mail(self, data: dict[str, Any], moment: float) -> None:
        """Write the line of one mail; a stream that is gone stops no mail."""
        line = self._form.mail(data, moment) + self.terminator
        with contextlib.suppress(OSError, ValueError), cast(AbstractContextManager[Any], self.lock):
            self.stream.write(line)
            self.stream.flush()


class JsonLines(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, event, and what else the record brings."""
        data: dict[str, Any] = {
            "time": iso(record.created),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            data["traceback"] = self.formatException(record.exc_info)
        return json_line(data).decode()

    def mail(self, data: dict[str, Any], moment: float) -> str:
        """The line of one mail."""
        head = {"time": iso(moment), "level": "info", "from": _mail.name, "event": "mail"}
        return json_line(head | data).decode()


class TextLines(logging.Formatter):
    """For a terminal: local time, then the words."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, a traceback below it where there is one."""
        moment = datetime.datetime.fromtimestamp(record.created).astimezone()
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        line = f"{moment:%H:%M:%S} {level}{clean(record.getMessage())}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")

    def mail(self, data: dict[str, Any], moment: float) -> str:
        """The line of one mail."""
        words = (
            data["id"],
            _WORDS[data["action"]],
            data["rule"],
            data["sender"] or "<>",
            _few(data["recipients"]),
            data["ip"] or "-",
            data["score"],
            data["ms"],
        )
        at = datetime.datetime.fromtimestamp(moment)
        return f"{at:%H:%M:%S} {clean(_LINE % words)}"


def clean(text: str) -> str:
    """No control characters, whoever wrote it."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() else "?" for ch in text)


def log_decision(decision: Decision) -> None:
    """The line of one mail."""
    if _mail.isEnabledFor(logging.INFO):
        for handler in _root.handlers:
            if isinstance(handler, Lines):
                handler.mail(_line(decision), time.time())


def _line(decision: Decision) -> dict[str, Any]:
    because = decision.verdict.because
    to = [str(entry.recipient) for entry in decision.recipients[:RECIPIENTS_MAX]]
    return {
        "id": decision.id,
        "action": decision.verdict.action.word,
        "rule": because.rule if because else "",
        "reply": str(decision.verdict.reply) if decision.verdict.reply else "",
        "score": decision.total,
        "ms": round(decision.ms, 1),
        "sender": str(decision.sender) if decision.sender is not None else "",
        "recipients": to,
        "ip": decision.session.peer.ip,
        "helo": decision.session.helo.name if decision.session.helo else "",
        "size": decision.size,
        "listener": decision.session.listener,
        "pipeline": decision.pipeline,
        "revision": decision.revision,
    }


def _few(addresses: list[str]) -> str:
    more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
    return ", ".join(addresses[:3]) + more


class Troubles:
    """Says once that a filter cannot answer, and once that it does again."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def note(self, runs: Iterable[Run]) -> None:
        """Look at one mail's runs."""
        for run in runs:
            if run.state in _BROKEN and run.name not in self._known:
                self._known[run.name] = run.note
                _filters.warning("%s cannot answer: %s", run.name, run.note)
            elif run.state == "ran" and run.name in self._known:
                del self._known[run.name]
                _filters.info("%s answers again", run.name)


_BROKEN = ("failed", "timed-out")
_filters = logging.getLogger("millrace.filters")
