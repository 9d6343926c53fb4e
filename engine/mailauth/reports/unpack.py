"""Any file that somebody sent, opened down to the reports in it.

A mail (RFC 5322, one attachment or many), zip, gzip (RFC 1952), XML, one inside the other.
Failure reports (RFC 9991, RFC 6591) and TLS reports (RFC 8460) are recognised and named.

Every length that the file claims is mistrusted: what comes out is bounded as a whole
(`UNPACKED_MAX`), archives in members and in the size of their directory, nesting in
depth.  Only stored and deflated members are opened: other methods take memory by the
archive's own word.

Fails: never; `Reading.why` says in a sentence what a file was, or why it cannot be read.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import Literal, get_args

from millrace.engine.mail import mime
from millrace.engine.mail.headers import Headers, parse
from millrace.engine.mailauth.reports.aggregate import Report, clean
from millrace.engine.mailauth.reports.reader import UTF_16, Unreadable, read_xml

Kind = Literal["aggregate", "failure", "tls", "other", "unreadable"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FILE_MAX = 48 << 20
UNPACKED_MAX = 32 << 20
MEMBERS_MAX = 20
DIRECTORY_MAX = 1 << 16  # octets of a zip's central directory
NESTING_MAX = 4
REPORTS_MAX = 100
_END_OF_DIRECTORY = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_FIELD = re.compile(rb"(?:From [^\n]{1,998}\n)?[!-9;-~]{1,200}[ \t]*:")
_TLS = re.compile(rb'"(?:policies|organization-name|failure-details)"\s*:')
_ATTACHED = (".xml", ".gz", ".zip", ".json")
_WORDS: dict[str, str] = {
    "failure": "not an aggregate report: a failure report about single mails",
    "tls": "not an aggregate report: a TLS report",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What one file was; `reports` are the aggregate reports in it, `why` a sentence if none."""

    kind: Kind
    reports: tuple[Report, ...] = ()
    why: str = ""


def read(data: bytes) -> Reading:
    """Open a file of any kind."""
    if len(data) > FILE_MAX:
        return Reading("unreadable", (), f"it is larger than {FILE_MAX >> 20} MiB")
    opener = _Opener()
    opener.open(data, 0)
    return opener.reading()


class _Opener:
    """One file; what was found, and what may still be unpacked."""

    def __init__(self) -> None:
        self._left = UNPACKED_MAX
        self._reports: list[Report] = []
        self._others: list[Kind] = []
        self._troubles: list[str] = []

    def reading(self) -> Reading:
        if self._reports:
            return Reading("aggregate", tuple(self._reports))
        for kind in ("failure", "tls"):
            if kind in self._others:
                return Reading(kind, (), _WORDS[kind])
        if self._troubles:
            return Reading("unreadable", (), self._troubles[0])
        return Reading("other", (), "not an aggregate report: no report is in it")

    def open(self, data: bytes, depth: int) -> None:
        """Open what may be a report, or hold one."""
        try:
            self._open(data, depth)
        except Unreadable as trouble:
            self._troubles.append(str(trouble))

    def _open(self, data: bytes, depth: int) -> None:
        if depth > NESTING_MAX:
            raise Unreadable("it is packed over and over")
        start = data[:256].lstrip(b"\xef\xbb\xbf\0 \t\r\n")
        if data.startswith(b"\x1f\x8b"):
            self.open(self._gunzipped(data), depth + 1)
        elif data.startswith(b"PK\x03\x04"):
            self._zip(data, depth)
        elif start.startswith(b"<") or data.startswith(UTF_16):
            self._xml(data)
        elif start.startswith((b"{", b"[")):
            self._json(data)
        elif _FIELD.match(data):
            self._mail(data, depth)
        elif not start:
            raise Unreadable("it is empty")
        else:
            raise Unreadable("it is neither a mail nor zip, gzip or XML")

    def _xml(self, data: bytes) -> None:
        if len(self._reports) >= REPORTS_MAX:
            raise Unreadable(f"it holds more than {REPORTS_MAX} reports")
        self._reports.append(read_xml(data))

    def _json(self, data: bytes) -> None:
        if not _TLS.search(data[: 1 << 16]):
            raise Unreadable("it is JSON, but no report")
        self._others.append("tls")

    # --- packed

    def _spend(self, octets: int) -> None:
        self._left -= octets
        if self._left < 0:
            raise Unreadable(f"it unpacks to more than {UNPACKED_MAX >> 20} MiB")

    def _gunzipped(self, data: bytes) -> bytes:
        """RFC 1952: several members are one content; what follows the last is padding."""
        pieces: list[bytes] = []
        for _ in range(MEMBERS_MAX):
            stream = zlib.decompressobj(wbits=31)
            try:
                pieces.append(stream.decompress(data, self._left + 1))
            except zlib.error:
                if not pieces:
                    raise Unreadable("its gzip is broken") from None
                break
            self._spend(len(pieces[-1]))
            data = stream.unused_data
            if not data.startswith(b"\x1f\x8b"):
                break
        return b"".join(pieces)

    def _zip(self, data: bytes, depth: int) -> None:
        _mistrust(data)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [each for each in archive.infolist() if not each.is_dir()]
                if len(members) > MEMBERS_MAX:
                    raise Unreadable(f"its zip holds {len(members)} files")
                for member in members:
                    self.open(self._member(archive, member), depth + 1)
        except Unreadable:
            raise
        # zipfile says broken archives in many ways, all of which mean the same here
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError,
                NotImplementedError, IndexError, LookupError, OverflowError) as error:  # fmt: skip
            raise Unreadable(f"its zip is broken: {clean(str(error), 100)}") from None

    def _member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
        if member.flag_bits & 1:
            raise Unreadable("its zip is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable(f"its zip is packed by method {member.compress_type}")
        with archive.open(member) as content:
            found = content.read(self._left + 1)
        self._spend(len(found))
        return found

    # --- mail

    def _mail(self, data: bytes, depth: int) -> None:
        if data.startswith(b"From "):
            data = data[data.find(b"\n") + 1 :]
        fields, at, _ = parse(data)
        headers, body = Headers(fields), data[at:]
        parts = mime.walk(headers, body)
        if kind := _declared(headers, parts):
            self._others.append(kind)
        for part in parts:
            content = mime.decode(part, body, FILE_MAX)
            if _attached(part, content):
                self._spend(len(content))
                self.open(content, depth + 1)
            if len(self._reports) + len(self._troubles) > REPORTS_MAX:
                return


def _declared(headers: Headers, parts: tuple[mime.Part, ...]) -> Kind | None:
    """What kind of report a mail says to be, if not an aggregate one."""
    kinds = {part.content_type for part in parts}
    whole = (headers.first(b"Content-Type") or b"")[:1000].strip().lower()
    if b"tlsrpt" in whole or any(kind.startswith("application/tlsrpt") for kind in kinds):
        return "tls"
    if "message/feedback-report" in kinds:
        return "failure"
    bounce = b"delivery-status" in whole or "message/delivery-status" in kinds
    return "failure" if whole.startswith(b"multipart/report") and not bounce else None


def _attached(part: mime.Part, content: bytes) -> bool:
    """Whether a leaf may hold a report: by its name, by its type, or by its first octets."""
    if part.filename.lower().endswith(_ATTACHED) or part.content_type.endswith("/xml"):
        return True
    if content.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        return True
    return part.content_type != "text/html" and content.lstrip()[:5] in (b"<?xml", b"<feed")


def _mistrust(data: bytes) -> None:
    """Look at a zip's directory before anybody reads it: its claims cost memory."""
    at = data.rfind(_END_OF_DIRECTORY)
    if at < 0 or len(data) < at + 22:
        raise Unreadable("its zip is broken: it has no end")
    if data[max(at - 20, 0) : at].startswith(_ZIP64_LOCATOR):
        raise Unreadable("its zip is made for files larger than any report")
    if int.from_bytes(data[at + 12 : at + 16], "little") > DIRECTORY_MAX:
        raise Unreadable("its zip lists too many files")
