"""MIME: the leaves of a message, as spans of its body; decoded only when asked.

RFC 2045, RFC 2046 (§5.1.1 boundaries), RFC 2183 (dispositions).  One pass with
`bytes.find` for each level of nesting, so time is bounded by 20 times the body.

Depth is at most 20 and parts at most 1000 (a mail that passes either is one bomb or
another): what lies deeper is one leaf, what comes later is not listed.  A multipart whose
boundary never appears is a leaf too: mail programs show it, so a filter must see it.

Fails:  never, whatever the bytes; broken encodings give what could be read.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field

from millrace.engine.mail import charset
from millrace.engine.mail.headers import Headers, parse
from millrace.engine.mail.parameter import parameters
from millrace.engine.mail.words import decode_words

DEPTH_MAX = 20
PARTS_MAX = 1000
HEADER_MAX = 1 << 14  # bytes of one part's header section that are read
BOUNDARY_MAX = 256  # bytes; RFC 2046 allows 70
LOOKS_MAX = 20_000  # strings like a delimiter, in one mail
DECODED_MAX = 1 << 20
_LINE_REST = re.compile(rb"(--)?[ \t]{0,100}(?:\r?\n|\Z)")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_MULTIPART = "multipart/"
_EMBEDDED = ("message/rfc822", "message/global")
_OUTSIDE_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


@dataclass(frozen=True, slots=True)
class Part:
    """A leaf: what its header says of it, and where in the body its bytes lie.

    `content_type`, `charset`, `encoding` and `disposition` are lower case, "" where absent;
    `filename` is decoded text and as hostile as its sender.
    """

    content_type: str = "text/plain"
    charset: str = ""
    encoding: str = ""
    disposition: str = ""
    filename: str = ""
    start: int = 0
    end: int = 0
    depth: int = 0
    headers: Headers = field(default=Headers(), repr=False)


def walk(
    headers: Headers, body: bytes, *, depth_max: int = DEPTH_MAX, parts_max: int = PARTS_MAX
) -> tuple[Part, ...]:
    """The leaves of a message, in the order of the text."""
    walker = _Walker(body, depth_max, parts_max)
    walker.visit(headers, 0, len(body), 0, "text/plain")
    return tuple(walker.leaves)


class _Walker:
    __slots__ = ("body", "depth_max", "leaves", "looks_left", "parts_left")

    def __init__(self, body: bytes, depth_max: int, parts_max: int) -> None:
        self.body = body
        self.depth_max = depth_max
        self.looks_left = LOOKS_MAX
        self.parts_left = parts_max
        self.leaves: list[Part] = []

    def visit(self, headers: Headers, start: int, end: int, depth: int, default: str) -> None:
        """List the leaves of one entity whose body is the span."""
        self.parts_left -= 1
        value = headers.first(b"Content-Type")
        content_type, given = parameters(value) if value else (default, {})
        if not _TYPE.fullmatch(content_type):
            content_type = _mended(content_type) if value else default
        encoding = _token(headers.first(b"Content-Transfer-Encoding"))
        if depth < self.depth_max:
            if content_type.startswith(_MULTIPART):
                if self._multipart(content_type, given.get("boundary", ""), start, end, depth):
                    return
            elif content_type in _EMBEDDED and encoding not in ("base64", "quoted-printable"):
                self._embedded(start, end, depth)
                return
        disposition, more = _disposition(headers.first(b"Content-Disposition"))
        name = more.get("filename") or given.get("name", "")
        self.leaves.append(
            Part(
                content_type=content_type,
                charset=given.get("charset", "").strip().lower(),
                encoding=encoding,
                disposition=disposition,
                filename=decode_words(name.encode()) if "=?" in name else name,
                start=start,
                end=end,
                depth=depth,
                headers=headers,
            )
        )

    def _multipart(self, kind: str, boundary: str, start: int, end: int, depth: int) -> bool:
        """Visit each part; False when the boundary is not there."""
        default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        spans = self._spans(boundary, start, end) if boundary else []
        for first, last in spans:
            if self.parts_left <= 0:
                break
            fields, at, _ = parse(self.body[first : min(last, first + HEADER_MAX)])
            self.visit(Headers(fields), first + at, last, depth + 1, default)
        return bool(spans)

    def _spans(self, boundary: str, start: int, end: int) -> list[tuple[int, int]]:
        """What lies between the delimiter lines (RFC 2046 §5.1.1); the last may be missing."""
        body, spans, begun = self.body, list[tuple[int, int]](), -1
        delimiter = b"--" + boundary.rstrip().encode("utf-8", "replace")[:BOUNDARY_MAX]
        at = body.find(delimiter, start, end)
        while at >= 0 and len(spans) < self.parts_left and self.looks_left > 0:
            self.looks_left -= 1
            after = at + len(delimiter)
            if (at == start or body[at - 1] == 10) and (line := _LINE_REST.match(body, after, end)):
                if 0 <= begun < at:  # two delimiter lines in a row hold no part between them
                    spans.append((begun, max(begun, _before_line_end(body, at))))
                begun = -1 if line[1] else line.end()
                if line[1]:
                    break
            at = body.find(delimiter, after, end)
        if begun >= 0 and len(spans) < self.parts_left:
            spans.append((begun, end))
        return spans

    def _embedded(self, start: int, end: int, depth: int) -> None:
        if self.parts_left <= 0:
            return
        if self.body.startswith(b"From ", start):  # an mbox line that came along
            start = min(self.body.find(b"\n", start, end) % (end + 1) + 1, end)
        fields, at, _ = parse(self.body[start : min(end, start + HEADER_MAX)])
        self.visit(Headers(fields), start + at, end, depth + 1, "text/plain")


def _before_line_end(body: bytes, at: int) -> int:
    """The line break before a delimiter belongs to it, not to the part."""
    if body[at - 1 : at] == b"\n":
        at -= 1
        if body[at - 1 : at] == b"\r":
            at -= 1
    return at


def _token(value: bytes | None) -> str:
    return (
        value[:100].partition(b";")[0].strip().lower().decode("ascii", "replace") if value else ""
    )


def _disposition(value: bytes | None) -> tuple[str, dict[str, str]]:
    return parameters(value) if value else ("", {})


def _mended(content_type: str) -> str:
    """RFC 2045 §5.2: what cannot be read is plain text; `text` alone and comments are seen."""
    found = _TYPE.match(content_type)
    return found[0] if found else "text/plain"


def decode(part: Part, body: bytes, limit: int = DECODED_MAX) -> bytes:
    """The part's content without its transfer encoding, at most `limit` bytes."""
    if part.encoding == "base64":
        return _base64(body[part.start : min(part.end, part.start + limit * 3 // 2 + 64)])[:limit]
    if part.encoding == "quoted-printable":
        return binascii.a2b_qp(body[part.start : min(part.end, part.start + limit * 4)])[:limit]
    return body[part.start : min(part.end, part.start + limit)]


def _base64(data: bytes) -> bytes:
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        letters = data.translate(None, _OUTSIDE_BASE64)
        letters = letters[: len(letters) - (len(letters) % 4 == 1)]
        return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def text(part: Part, body: bytes, limit: int = DECODED_MAX) -> str:
    """The part's content as text by its declared charset; `limit` counts bytes."""
    return charset.decode(decode(part, body, limit), part.charset)
