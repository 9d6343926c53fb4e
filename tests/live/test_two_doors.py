"""The same mails through the milter beside Postfix and through the SMTP door: the same answers.

Two daemons with the same settings, so that neither knows what the other has seen.  Facts,
score, rule, reply, edits and the archived octets are compared, record by record.

What Postfix changes before a filter sees the mail, and what is done about it here:
  - it drops Return-Path, Bcc and Content-Length: told not to (message_drop_headers);
  - it turns an mbox `From ` line into a field: such lines are cut off before sending;
  - it puts its own Received on top, which it shows to no filter: no difference;
  - it cuts a header field at 100 KiB (header_size_limit): none of these mails has one;
  - it adds From, Date and Message-ID for its own addresses, as which it counts those that
    XCLIENT makes of them: told not to (local_header_rewrite_clients).
"""

from __future__ import annotations

import hashlib
import json
import re
import smtplib
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from live.parties import Millrace, Postfix, Sink, impersonate, settle
from live.sites import SETTINGS, engine

from millrace.engine.mail.headers import parse

SMTP_SETTINGS = SETTINGS.replace(
    'kind = "milter"', 'kind = "smtp"\ndeliver = "maildir:Maildir"\ntrusted = ["127.0.0.1"]'
)
PIPELINE = """
[[filter]]
use = "spf"
[[filter]]
use = "dkim"
[[filter]]
use = "dmarc"
[[filter]]
use = "greylist"
when = "helo.name == 'grey.example'"
wait = "1h"
[[filter]]
use = "spam"
[[filter]]
use = "virus"
socket = "{socket}"
on_error = "defer"
[[filter]]
use = "stamp"
authserv_id = "mx.rcpt.example"
spam_headers = true
[[filter]]
use = "archive"
"""
UNTOUCHED = "message_drop_headers =\nlocal_header_rewrite_clients =\n"
SPF = (
    "v=spf1 ip4:198.51.100.0/24 -all",
    "v=spf1 -all",
    "v=spf1 ~all",
    "v=spf1 include:d0.example ?all",
    "v=spf1 redirect=d1.example",
    "v=spf1 ipv4:broken",
    "v=spf1 exists:%{i}.absent.example ?all",
    "no record of ours",
)
DMARC = ("none", "none", "none", "quarantine", "reject")
_FROM = re.compile(rb"(?im)^From:.*?@([a-z0-9.-]+)")
_MBOX = re.compile(rb"\A(?:From [^\n]*\n)+")


@dataclass(frozen=True)
class Sample:
    """One mail of the bench's manifest, and the client that brings it."""

    number: int
    raw: bytes

    @property
    def sender(self) -> str:
        return f"m{self.number}@d{self.number % len(SPF)}.example"

    @property
    def ip(self) -> str:
        return f"198.51.100.{self.number % 200 + 1}"

    @property
    def helo(self) -> str:
        return "grey.example" if self.number % 11 == 0 else f"host{self.number % 5}.example"

    @property
    def recipients(self) -> list[str]:
        return ["ann@rcpt.example", "bob@rcpt.example"][: 2 if self.number % 7 == 0 else 1]


def samples(data: Path) -> list[Sample]:
    """The 200 mails, with CRLF line ends."""
    rows = [line.split("\t") for line in (data / "bench/manifest.tsv").read_text().splitlines()[1:]]
    found: dict[tuple[str, str], bytes] = {}
    for name in sorted({row[1] for row in rows if row[1].endswith(".tar.xz")}):
        with tarfile.open(data / name) as archive:
            wanted = {row[2] for row in rows if row[1] == name}
            for member in archive:
                if member.name in wanted and (content := archive.extractfile(member)):
                    found[name, member.name] = content.read()
    made = []
    for number, (_, folder, name, _, digest) in enumerate(rows):
        raw = found.get((folder, name)) or (data / folder / name).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == digest
        made.append(Sample(number, wire_form(raw)))
    return made


def wire_form(raw: bytes) -> bytes:
    lines = re.sub(rb"\r\n|\r|\n", b"\n", _MBOX.sub(b"", raw))
    return lines.removesuffix(b"\n").replace(b"\n", b"\r\n") + b"\r\n"


def zone(mails: list[Sample]) -> dict[str, Any]:
    """Every kind of SPF record for the senders, every policy for the authors."""
    made: dict[str, Any] = {f"d{at}.example": {"TXT": [text]} for at, text in enumerate(SPF)}
    authors = {m[1].decode().lower() for each in mails if (m := _FROM.search(each.raw))}
    for at, domain in enumerate(sorted(authors)):
        made.setdefault(domain, {"A": ["192.0.2.1"]})
        made[f"_dmarc.{domain}"] = {"TXT": [f"v=DMARC1; p={DMARC[at % len(DMARC)]}"]}
    return made


@dataclass
class Doors:
    """Both daemons after all mails went through."""

    mails: list[Sample]
    beside: list[dict[str, Any]]
    native: list[dict[str, Any]]
    codes: tuple[list[int], list[int]]


@pytest.fixture(scope="module")
def doors(
    root: None, new_folder: Callable[[str], Path], clamd_socket: Path, shared_data: Path
) -> Iterator[Doors]:
    folder, mails = new_folder("two-doors"), samples(shared_data)
    pipeline = PIPELINE.format(socket=clamd_socket)
    beside = started(engine(folder / "milter", pipeline), mails)
    native = started(engine(folder / "smtp", pipeline, settings=SMTP_SETTINGS), mails)
    sink = Sink(folder / "sink").start()
    where = f"inet:127.0.0.1:{beside.port('milter')}"
    postfix = Postfix(folder / "postfix", where, sink, more=UNTOUCHED).start()
    try:
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(sent, port, mails) for port in (postfix.port, native.port("smtp"))]
            codes = both[0].result(), both[1].result()
        for each in (beside, native):
            settle(lambda each=each: len(each.decisions()) >= len(mails), "all records")
        yield Doors(mails, records(beside), records(native), codes)
    finally:
        postfix.stop()
        sink.stop()
        native.stop()
        beside.stop()


def started(millrace: Millrace, mails: list[Sample]) -> Millrace:
    (millrace.folder / "zone.json").write_text(json.dumps(zone(mails)))
    return millrace.start()


def sent(port: int, mails: list[Sample]) -> list[int]:
    """Bring every mail; the final code of each."""
    return [code_of(port, each) for each in mails]


def code_of(port: int, each: Sample) -> int:
    with smtplib.SMTP("127.0.0.1", port, each.helo, 30) as smtp:
        smtp.ehlo()
        impersonate(smtp, each.ip)
        try:
            smtp.sendmail(each.sender, each.recipients, each.raw)
        except smtplib.SMTPRecipientsRefused as refused:
            return max(code for code, _ in refused.recipients.values())
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
    return 250


def records(millrace: Millrace) -> list[dict[str, Any]]:
    """What was decided, by sender, without what is each daemon's own: ids, times, places."""
    found = sorted(millrace.decisions(), key=lambda each: int(each["from"][1:].partition("@")[0]))
    return [comparable(each) for each in found]


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    kept = ("from", "to", "action", "reply", "score", "edits", "size")
    made = {name: record[name] for name in kept}
    made["rule"] = record["because"]["rule"]
    made["stage"] = record["because"]["stage"]
    made["session"] = {name: record["session"][name] for name in ("ip", "rdns", "helo")}
    made["ran"] = [(run["name"], run["state"]) for run in record["filters"]]
    made["facts"] = without_times(record["facts"])
    made["recipients"] = [each | {"facts": without_times(each["facts"])} for each in rcpts(record)]
    return made


def rcpts(record: dict[str, Any]) -> list[dict[str, Any]]:
    return list(record["recipients"])


def without_times(facts: dict[str, Any]) -> dict[str, Any]:
    times = {"greylist": ("first", "left")}
    return {
        name: {key: value for key, value in fact.items() if key not in times.get(name, ())}
        for name, fact in facts.items()
    }


@pytest.mark.data
def test_two_hundred_mails_get_the_same_facts_verdicts_and_edits(doors: Doors) -> None:
    assert len(doors.beside) == len(doors.native) == len(doors.mails) == 200
    for beside, native in zip(doors.beside, doors.native, strict=True):
        assert beside == native


@pytest.mark.data
def test_both_peers_hear_the_same_codes(doors: Doors) -> None:
    beside, native = doors.codes
    assert beside == native


@pytest.mark.data
def test_the_mails_meet_every_kind_of_answer(doors: Doors) -> None:
    # else the comparison would prove little
    actions = Counter(record["action"] for record in doors.native)
    assert {"pass", "reject", "defer"} <= set(actions)
    assert min(actions["pass"], actions["reject"], actions["defer"]) > 5
    results = {record["facts"].get("spf", {}).get("result") for record in doors.native}
    assert {"pass", "fail", "softfail", "neutral", "permerror", "none"} <= results
    assert len({record["rule"] for record in doors.native}) > 3


@pytest.mark.data
def test_the_samples_are_mails_as_they_travel(doors: Doors) -> None:
    for each in doors.mails:
        fields, _, _ = parse(each.raw)
        assert max((len(value) for _, value in fields), default=0) < 102_400
