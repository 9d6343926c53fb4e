"""One finding of a survey: of what, in which state, and what to do.

Text that comes out of the DNS is somebody else's: `quoted` makes it printable and short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from millrace.engine.ports import Answer

State = Literal["ok", "note", "none", "wrong", "unknown"]
QUOTED_MAX = 120


@dataclass(frozen=True, slots=True)
class Line:
    """`subject` such as "SPF"; `mend` is what to do, "" where nothing need be done."""

    subject: str
    state: State
    finding: str
    mend: str = ""


def unknown(subject: str, name: str, answer: Answer) -> Line:
    """The DNS did not answer."""
    shown = quoted(name)
    mend = f"Ask again later, or look at the name servers of {shown}."
    return Line(subject, "unknown", f"the DNS does not answer for {shown} ({answer.status})", mend)


def quoted(text: bytes | str) -> str:
    """Somebody's text, printable, at most so long."""
    read = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    clean = "".join(ch if ch.isprintable() else "?" for ch in read)
    return clean if len(clean) <= QUOTED_MAX else clean[: QUOTED_MAX - 1] + "…"
