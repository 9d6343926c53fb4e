r"""Header values and texts between mail and milter: nothing is injected.

A milter's header values fold with a bare LF ("\n\t"), where mail has CRLF.  A value here
is always all that follows the colon, so that name + ":" + value is the field.

Fails: Bug where the engine itself hands over an address or a name that cannot travel.
"""

from __future__ import annotations

import re

from millrace.engine.errors import Bug
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import field_of
from millrace.engine.mail.verdict import Reply

VALUE_MAX = 60_000  # Sendmail hangs up on a reply packet above 65,535 bytes
_REPLY_LINES_MAX = 32  # libmilter's own bound
_REPLY_LINE_MAX = 510  # octets before CRLF, RFC 5321 §4.5.3.1.5
_REASON_MAX = 255
_NO_BLANK = (b"", b"\n", b"\t")
_ENHANCED = re.compile(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}")


def wire_value(value: bytes) -> bytes:
    """A value as it came from the MTA, with the folds of the mail: CRLF."""
    if b"\n" not in value:
        return value
    return value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def mta_value(value: bytes) -> bytes:
    """A mail's value as a milter carries it: LF folds, no CR, no NUL."""
    return value.replace(b"\r", b"").replace(b"\0", b"")


def spaced(value: bytes) -> bytes:
    """Give back the one blank that an MTA without LEADING_SPACE has taken from a value.

    A value that is empty, or folded right behind the colon, had most likely none.
    """
    return value if value[:1] in _NO_BLANK else b" " + value


def header_pair(name: str, value: str, *, leading_space: bool) -> bytes:
    """Name and value of a field of ours, as a packet carries them.

    The MTA writes the same field as `field_of` does: one blank, then the value.  It adds
    the blank itself unless it granted LEADING_SPACE; then Sendmail would write `X-Mill:yes`.
    """
    made = field_of(name, value)
    if not made.name:
        raise Bug(f"a header field needs a name of printable ASCII, not {name!r}")
    text = mta_value(made.value)[:VALUE_MAX].rstrip(b"\n")
    return made.name + b"\0" + (text if leading_space else text[1:]) + b"\0"


def path(address: Address | None) -> bytes:
    """An address in angle brackets, `<>` for none."""
    text = str(address) if address else ""
    if any(ch < " " or ch == "\x7f" for ch in text):
        raise Bug("an address holds a control character")
    return f"<{text}>".encode("utf-8", "surrogateescape")


def parameters(options: tuple[str, ...]) -> bytes:
    """ESMTP parameters, joined by blanks."""
    text = " ".join(options)
    if any(ch < " " or ch == "\x7f" for ch in text):
        raise Bug("an ESMTP parameter holds a control character")
    return text.encode("utf-8", "surrogateescape")


def reason(text: str) -> bytes:
    """The words of a quarantine: one line of printable ASCII."""
    return _printable(text)[:_REASON_MAX].encode("ascii")


def reply_lines(reply: Reply) -> bytes:
    """A refusal as SMTP lines, each with code and enhanced code; no line is too long.

    Both MTAs take the text for a format: '%' is doubled on the way and halved by them.
    Without an enhanced code Postfix takes a text that begins with a digit for a broken one.
    """
    first = str(reply.code)
    if first[0] not in "45" or len(first) != 3:
        raise Bug(f"a milter refuses with 4xx or 5xx, not {reply.code}")
    enhanced = reply.enhanced or f"{first[0]}.7.1"
    if enhanced[0] != first[0] or not _ENHANCED.fullmatch(enhanced):
        raise Bug(f"{reply.code} and {reply.enhanced} do not fit together")
    room = _REPLY_LINE_MAX - len(f"{first} {enhanced} ")
    texts = [part for line in reply.text.split("\n") for part in _wrapped(line, room)]
    texts = texts[:_REPLY_LINES_MAX]
    marks = ["-"] * (len(texts) - 1) + [" "]
    lines = (f"{first}{mark}{enhanced} {text}" for mark, text in zip(marks, texts, strict=True))
    return "\r\n".join(lines).replace("%", "%%").encode("ascii")


def _wrapped(line: str, room: int) -> list[str]:
    text = _printable(line)
    parts = []
    while len(text) > room:
        cut = text.rfind(" ", room // 2, room) + 1 or room
        parts.append(text[:cut].rstrip())
        text = text[cut:]
    return [*parts, text]


def _printable(text: str) -> str:
    # SMTP replies are ASCII unless the client said SMTPUTF8, which a filter cannot see
    plain = "".join(ch if ch.isprintable() else " " for ch in text)
    return plain.encode("ascii", "replace").decode("ascii").strip()
