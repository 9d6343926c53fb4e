"""The whole loop of DMARC reports: mail comes in, Postfix carries the report, others read it.

parsedmarc reads what we wrote; it runs offline, in an environment of its own.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from live.parties import CLEAN, MILLRACE, Millrace, Postfix, Sink, Sunk, session

from millrace.engine.mailauth.reports.unpack import read

SETTINGS = """
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "maildir:Maildir"
trusted = ["127.0.0.1"]
[http]
address = ""
[dns]
zone = "zone.json"
[reports]
organization = "Receiver & Söhne"
address = "dmarc@receiver.example"
contact = "https://receiver.example/dmarc"
"""
INBOUND = """
[[filter]]
use = "spf"
[[filter]]
use = "dkim"
[[filter]]
use = "dmarc"
"""
POLICY = """
title = "What the author's domain asks for"
[[rule]]
name = "dmarc"
when = "dmarc.result == 'fail' and dmarc.policy == 'reject'"
then = "reject"
reply = "550 5.7.26 {from.domain} asks to refuse mail that it did not send"
why = "p=reject"
"""
ZONE = {
    "good.example": {"TXT": ["v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"]},
    "_dmarc.good.example": {
        "TXT": ["v=DMARC1; p=reject; sp=none; rua=mailto:rua@good.example,mailto:r@care.example!1m"]
    },
    "good.example._report._dmarc.care.example": {"TXT": ["v=DMARC1; rua=mailto:in@care.example"]},
    "lax.example": {"TXT": ["v=spf1 ip4:192.0.2.7 ?all"]},
    "_dmarc.lax.example": {
        "TXT": ["v=DMARC1; p=none; adkim=s; rua=mailto:r@lax.example,mailto:x@victim.example"]
    },
    "silent.example": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"]},
    "_dmarc.silent.example": {"TXT": ["v=DMARC1; p=reject"]},
}
# (peer, envelope sender, author, how many)
MAILS = [
    ("192.0.2.7", "a@good.example", "good.example", 3),
    ("2001:db8::7", "a@good.example", "good.example", 1),
    ("203.0.113.9", "spammer@bad.example", "good.example", 2),  # refused
    ("203.0.113.9", "spammer@bad.example", "news.good.example", 1),  # sp=none: taken
    ("192.0.2.7", "a@lax.example", "lax.example", 2),
    ("203.0.113.9", "", "lax.example", 1),
    ("192.0.2.7", "a@silent.example", "silent.example", 4),  # asks for no report
]


@dataclass
class Loop:
    """A daemon that has seen mail two days ago, and a relay with a sink behind."""

    millrace: Millrace
    postfix: Postfix
    sink: Sink
    first: subprocess.CompletedProcess[str] | None = None

    def report(self) -> subprocess.CompletedProcess[str]:
        """Run `millrace dmarc report` once more."""
        command = [*MILLRACE, "dmarc", "report", "--send", f"127.0.0.1:{self.postfix.port}"]
        return subprocess.run(
            command, cwd=self.millrace.folder, env=CLEAN, capture_output=True, text=True
        )

    def sent(self, count: int) -> list[Sunk]:
        """The reports that arrived behind the relay."""
        wait_for(lambda: len(self.sink.mails()) >= count, "reports behind the relay")
        return sorted(self.sink.mails(), key=lambda mail: mail.recipients)


@pytest.fixture(scope="module")
def loop(root: None, new_folder: Callable[[str], Path]) -> Iterator[Loop]:
    folder = new_folder("reports")
    files = {
        "pipelines__inbound_toml": f'policy = "asked"\n{INBOUND}',
        "policies__asked_toml": POLICY,
    }
    (folder / "here").mkdir()
    millrace = Millrace(folder / "here", SETTINGS, **files)
    (folder / "here" / "zone.json").write_text(json.dumps(ZONE))
    millrace.start()
    for ip, sender, author, count in MAILS:
        with session(millrace.port("smtp"), ip=ip) as smtp:
            for _ in range(count):
                smtp.mail(sender)
                smtp.rcpt("ann@receiver.example")
                smtp.data(f"From: a@{author}\r\nSubject: hello\r\n\r\nhello\r\n")
    assert millrace.stop() == 0
    _two_days_later(folder / "here" / "reports.db")
    sink = Sink(folder / "sink").start()
    more = f"mynetworks = 127.0.0.0/8\ndefault_transport = smtp:[127.0.0.1]:{sink.port}"
    postfix = Postfix(folder / "postfix", "", sink, more=more).start()
    try:
        made = Loop(millrace, postfix, sink)
        made.first = made.report()
        yield made
    finally:
        postfix.stop()
        sink.stop()


def _two_days_later(path: Path) -> None:
    database = sqlite3.connect(path)
    with database:
        for table in ("observed", "held"):
            database.execute(f"update {table} set day = day - 2")
    database.close()


def parsed(folder: Path, mails: list[Sunk]) -> list[dict[str, Any]]:
    """What parsedmarc makes of mails."""
    program = Path(sys.prefix) / "peers" / "parsedmarc" / "bin" / "parsedmarc"
    if not program.exists():
        words = f"parsedmarc is not at {program}; contrib/install-servers puts it there"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(words)
    folder.mkdir()
    for at, mail in enumerate(mails):
        (folder / f"{at}.eml").write_bytes(mail.raw)
    files = sorted(str(path) for path in folder.iterdir())
    done = subprocess.run(
        [program, "--offline", "-o", str(folder / "out"), *files],
        capture_output=True, env=CLEAN, cwd=folder, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    found: list[dict[str, Any]] = json.loads((folder / "out" / "aggregate.json").read_text())
    return found


def test_reports_reach_who_asks_and_agrees_once(loop: Loop) -> None:
    first = loop.first
    assert first is not None
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "good.example  7 mails to rua@good.example: sent",
        "good.example  7 mails to in@care.example: sent",
        "lax.example  3 mails to r@lax.example: sent",
        "lax.example  3 mails to x@victim.example: refused (victim.example does not agree:"
        " no v=DMARC1 at lax.example._report._dmarc.victim.example)",
    ]
    arrived = loop.sent(3)
    assert [mail.recipients for mail in arrived] == [
        ["in@care.example"], ["r@lax.example"], ["rua@good.example"],
    ]  # fmt: skip
    assert {mail.sender for mail in arrived} == {"dmarc@receiver.example"}
    second = loop.report()
    assert second.stdout.count("already sent") == 3
    assert len(loop.sink.mails()) == 3


def test_parsedmarc_counts_what_we_counted(loop: Loop, tmp_path: Path) -> None:
    arrived = [mail for mail in loop.sent(3) if mail.recipients != ["in@care.example"]]
    theirs = {each["policy_published"]["domain"]: each for each in parsed(tmp_path / "p", arrived)}
    ours = {each.published.domain: each for mail in arrived for each in read(mail.raw).reports}
    assert set(theirs) == set(ours) == {"good.example", "lax.example"}
    for domain, mine in ours.items():
        found = theirs[domain]
        assert found["report_metadata"]["org_name"] == "Receiver & Söhne"
        assert found["report_metadata"]["report_id"] == mine.id
        assert found["xml_namespace"] == "urn:ietf:params:xml:ns:dmarc-2.0"
        published = found["policy_published"]
        assert (published["p"], published["sp"]) == (
            mine.published.policy, mine.published.subdomains,
        )  # fmt: skip
        assert (published["adkim"], published["discovery_method"]) == (
            mine.published.adkim, "treewalk",
        )  # fmt: skip
        rows = Counter[Any]()
        for record in found["records"]:
            evaluated = record["policy_evaluated"]
            key = (record["source"]["ip_address"], record["identifiers"]["header_from"],
                   evaluated["disposition"], evaluated["dkim"], evaluated["spf"])  # fmt: skip
            rows[key] += record["count"]
        assert rows == {
            (c.row.source_ip, c.row.header_from, c.row.disposition, c.row.dkim, c.row.spf): c.count
            for c in mine.rows
        }
    told = {(c.row.source_ip, c.row.header_from): (c.row.disposition, c.count)
            for c in ours["good.example"].rows}  # fmt: skip
    assert told == {
        ("192.0.2.7", "good.example"): ("pass", 3),
        ("2001:db8::7", "good.example"): ("pass", 1),
        ("203.0.113.9", "good.example"): ("reject", 2),
        ("203.0.113.9", "news.good.example"): ("none", 1),
    }


def test_what_we_sent_is_read_back_by_ourselves(loop: Loop, tmp_path: Path) -> None:
    for at, mail in enumerate(loop.sent(3)):
        (tmp_path / f"{at}.eml").write_bytes(mail.raw)
    command = [*MILLRACE, "dmarc", "ingest", "0.eml", "1.eml", "2.eml"]
    done = subprocess.run(command, cwd=tmp_path, env=CLEAN, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert [line.endswith("(known already)") for line in lines] == [False, False, True]
    assert ["Receiver & Söhne about " in line for line in lines] == [True] * 3


def test_bounce_of_a_report_is_not_reported(loop: Loop, new_folder: Callable[[str], Path]) -> None:
    folder = new_folder("bounce")
    text = f'policy = "asked"\n{INBOUND}'
    files = {"pipelines__inbound_toml": text, "policies__asked_toml": POLICY}
    millrace = Millrace(folder, SETTINGS, **files)
    (folder / "zone.json").write_text(json.dumps(ZONE))
    millrace.start()
    with session(millrace.port("smtp"), ip="192.0.2.7") as smtp:
        smtp.mail("")
        smtp.rcpt("dmarc@receiver.example")
        smtp.data("From: mailer-daemon@lax.example\r\nSubject: Undelivered\r\n\r\nsorry\r\n")
    assert millrace.stop() == 0
    assert not (folder / "reports.db").exists()
