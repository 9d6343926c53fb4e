"""A site for live tests: our daemon, an MTA beside it, and a sink behind."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from live import odd_filters
from live.parties import Millrace, Postfix, Sink, Sunk, header, settle

GOOD, OTHER = "192.0.2.7", "203.0.113.9"
ZONE = {
    "good.example": {"TXT": ["v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"]},
    "_dmarc.good.example": {"TXT": ["v=DMARC1; p=reject"]},
    "bank.example": {"TXT": ["v=spf1 ip4:192.0.2.99 -all"]},
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
    "new.example": {"TXT": ["v=spf1 ?all"]},
}
SETTINGS = """
profile = "production"
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[http]
address = "inet:0@127.0.0.1"
[dns]
zone = "zone.json"
[log]
decisions = "decisions.jsonl"
"""
ODD = """
[[filter]]
use = "lookaround"
[[filter]]
use = "obeyrecipient"
[[filter]]
use = "obeymail"
timeout = "15s"
"""
ARCHIVE = """
[[filter]]
use = "archive"
keep = "7y"
"""
EMPTY_POLICY = 'title = "Nothing"\n'


def python_path(folder: Path) -> str:
    """A folder with the odd filters as an installed package: the daemon's PYTHONPATH."""
    info = folder / "odd_filters-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-filters\nVersion: 1\n")
    points = {"lookaround": "LookAround", "obeyrecipient": "ObeyRecipient", "obeymail": "ObeyMail"}
    lines = "".join(f"{name} = odd_filters:{cls}\n" for name, cls in points.items())
    (info / "entry_points.txt").write_text(f"[millrace.filters]\n{lines}")
    (folder / "odd_filters.py").write_text(Path(odd_filters.__file__).read_text())
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))


def engine(
    folder: Path, pipeline: str, *, settings: str = SETTINGS, policy: str = "default", **files: str
) -> Millrace:
    """A daemon that may use the odd filters; not started yet."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f'policy = "{policy}"\n' + pipeline
    made = Millrace(
        folder, settings, pipelines__inbound_toml=text, policies__empty_toml=EMPTY_POLICY, **files
    )
    (folder / "zone.json").write_text(json.dumps(ZONE))
    made.environment["PYTHONPATH"] = python_path(folder / "python")
    return made


class Site:
    """A Postfix, the daemon that it asks, and the sink behind; closed by `close`."""

    def __init__(self, millrace: Millrace, *, more: str = "") -> None:
        self.millrace = millrace
        folder = millrace.folder
        self.sink = Sink(folder / "sink").start()
        where = f"inet:127.0.0.1:{millrace.port('milter')}"
        try:
            self.postfix = Postfix(folder / "postfix", where, self.sink, more=more).start()
        except BaseException:
            self.sink.stop()
            millrace.stop()
            raise

    @property
    def port(self) -> int:
        """Where mail is sent to."""
        return self.postfix.port

    def arrived(self, subject: str) -> Sunk:
        """The one mail with that subject, as it left the MTA."""
        return arrived(self.sink, subject)

    def decided(self, subject_or_id: str) -> dict[str, Any]:
        """The record of the one mail with that queue id."""
        return decided(self.millrace, lambda record: record["id"] == subject_or_id)

    def close(self) -> None:
        """End all of it."""
        self.postfix.stop()
        self.sink.stop()
        self.millrace.stop()


def arrived(sink: Sink, subject: str) -> Sunk:
    """The one mail with that subject at a sink."""

    def found() -> list[Sunk]:
        return [mail for mail in sink.mails() if header(mail.raw, "Subject") == [subject]]

    settle(lambda: len(found()) == 1, f"mail {subject}")
    return found()[0]


def decided(millrace: Millrace, fits: Any) -> dict[str, Any]:
    """The one record that fits; they are written a moment after the answer."""

    def found() -> list[dict[str, Any]]:
        return [record for record in millrace.decisions() if fits(record)]

    settle(lambda: len(found()) == 1, "a decision")
    return found()[0]


def mail(subject: str, do: str = "", *, more: str = "", author: str = "a@good.example") -> bytes:
    """A small mail that asks the odd filters for something."""
    head = f"From: {author}\r\nTo: ann@rcpt.example\r\nSubject: {subject}\r\n"
    head += f"Message-ID: <{subject}@good.example>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
    head += f"X-Do: {do}\r\n" if do else ""
    return (head + more + "\r\nHello Ann,\r\n\r\nsee you on Friday.\r\n").encode()


_RECEIVED = re.compile(rb"^Received:.*\r\n(?:[ \t].*\r\n)*", re.M)


def without_trace(raw: bytes) -> bytes:
    """The mail without the topmost trace field, the MTA's own: filters never see that one."""
    return _RECEIVED.sub(b"", raw, count=1)
