"""Whose fault is it?  The peer's, the world's, the operator's, or ours.

Every error that crosses a module's border is one of these four, so that the
catcher knows at once which answer it deserves.  Knowledge (SPF, DKIM, …) does
not raise for bad input: there "permerror" is a value.

Public text (an SMTP reply) never carries the detail; logs and records do.
"""

from __future__ import annotations

from dataclasses import dataclass


class MillraceError(Exception):
    """What all errors of the engine have in common."""


class ProtocolError(MillraceError):
    """The peer broke its protocol.

    `reply` is the answer that it deserves on its wire, "" where the protocol has none.
    """

    def __init__(self, sentence: str, reply: str = "") -> None:
        super().__init__(sentence)
        self.reply = reply


class Unavailable(MillraceError):
    """Something outside is away, for now: a service, a disk, a network.

    `what` names it with its address; `retry_after` is a hint in seconds, 0 when unknown.
    """

    def __init__(self, what: str, detail: str = "", retry_after: float = 0.0) -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.what = what
        self.detail = detail
        self.retry_after = retry_after


class Declined(Unavailable):
    """A service that is there would not do this one thing; it may do the next."""


EXCERPT_MAX = 200  # characters of an offending line that are shown


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a file that somebody wrote; lines and columns count from 1, 0 is unknown."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        numbers = [str(n) for n in (self.line, self.column) if n]
        return ":".join([self.file, *numbers]) if self.file else ":".join(numbers)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that the operator can mend: where, what, and how.

    `excerpt` is the offending line; `width` says how many columns the caret covers.
    """

    sentence: str
    hint: str = ""
    place: Place = Place()
    excerpt: str = ""
    width: int = 1

    def __str__(self) -> str:
        head = f"{self.place}  {self.sentence}" if str(self.place) else self.sentence
        lines = [head]
        if self.excerpt:
            before, shown = self._clipped()
            lines.append("    " + shown)
            if self.place.column:
                width = min(max(self.width, 1), EXCERPT_MAX)
                lines.append("    " + " " * before + "^" * width)
        lines += ["    " + line for line in self.hint.splitlines()]
        return "\n".join(lines)

    def _clipped(self) -> tuple[int, str]:
        """What stands before the caret, in columns, and the line; of a long line the part there."""
        at = max(self.place.column - 1, 0)
        if len(self.excerpt) <= EXCERPT_MAX:
            return at, self.excerpt
        begin = max(at - EXCERPT_MAX // 2, 0)
        head = "… " if begin else ""
        tail = " …" if begin + EXCERPT_MAX < len(self.excerpt) else ""
        return at - begin + len(head), head + self.excerpt[begin : begin + EXCERPT_MAX] + tail


class Misconfigured(MillraceError):
    """What the operator wrote does not fit; carries every fault that was found."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n\n".join(str(fault) for fault in faults))
        self.faults = faults


class Bug(MillraceError):
    """We broke our own promise."""
