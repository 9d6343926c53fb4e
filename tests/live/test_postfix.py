"""Beside a real Postfix: the main job, seen from outside."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live.parties import EICAR, GTUBE, Millrace, Postfix, Sink, header, send, session, settle

GOOD, BAD = "192.0.2.7", "203.0.113.9"
ZONE = {
    "good.example": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"], "MX": ["10 mx.good.example"]},
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
PIPELINE = """
policy = "default"
[[filter]]
use = "spf"
[[filter]]
use = "dkim"
[[filter]]
use = "dmarc"
[[filter]]
use = "greylist"
when = "not login and spf.result != 'pass'"
wait = "3s"
[[filter]]
use = "spam"
[[filter]]
use = "virus"
socket = "{socket}"
on_error = "defer"
[[filter]]
use = "stamp"
authserv_id = "mx.rcpt.example"
trace_header = true
[[filter]]
use = "archive"
keep = "7y"
"""


class Site:
    """A Postfix, our daemon beside it, and the sink behind."""

    def __init__(self, folder: Path, socket: Path) -> None:
        folder.mkdir(parents=True)
        pipeline = PIPELINE.format(socket=socket)
        self.millrace = Millrace(folder, SETTINGS, pipelines__inbound_toml=pipeline)
        (folder / "zone.json").write_text(json.dumps(ZONE))
        self.millrace.start()
        self.sink = Sink(folder / "sink").start()
        milter = f"inet:127.0.0.1:{self.millrace.port('milter')}"
        self.postfix = Postfix(folder / "postfix", milter, self.sink).start()

    def close(self) -> None:
        self.postfix.stop()
        self.sink.stop()
        self.millrace.stop()


@pytest.fixture(scope="module")
def site(root: None, new_folder: Callable[[str], Path], clamd_socket: Path) -> Iterator[Site]:
    made = Site(new_folder("site") / "here", clamd_socket)
    yield made
    made.close()


def mail(
    author: str, subject: str, text: str = "Hello Ann,\r\n\r\nsee you on Friday.\r\n"
) -> bytes:
    head = f"From: {author}\r\nTo: ann@rcpt.example\r\nSubject: {subject}\r\n"
    return (
        head
        + f"Message-ID: <{subject}@x>\r\n"
        + "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n"
        + text
    ).encode()


def arrived(site: Site, subject: str) -> bytes:
    """The mail with that subject, as it left Postfix."""

    def found() -> list[bytes]:
        return [m.raw for m in site.sink.mails() if header(m.raw, "Subject") == [subject]]

    settle(lambda: len(found()) == 1, f"mail {subject}")
    return found()[0]


def test_clean_mail_is_accepted_stamped_and_archived(site: Site) -> None:
    send(
        site.postfix.port,
        mail("a@good.example", "clean"),
        "a@good.example",
        "ann@rcpt.example",
        ip=GOOD,
    )
    raw = arrived(site, "clean")
    (results,) = header(raw, "Authentication-Results")
    assert results.startswith("mx.rcpt.example;")
    assert "spf=pass" in results
    assert "dmarc=pass" in results
    # byte for byte as it was delivered, the lines aside that the MTA itself puts above
    (kept,) = [each for each in site.millrace.archived() if b"Subject: clean\r\n" in each]
    assert raw.endswith(kept[kept.index(b"From:") :])
    assert kept.startswith(b"Authentication-Results: mx.rcpt.example;\r\n\t")


def test_mail_that_its_author_disowns_is_refused_with_the_policys_reply(site: Site) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(
            site.postfix.port,
            mail("billing@bank.example", "disowned"),
            "a@good.example",
            "ann@rcpt.example",
            ip=GOOD,
        )
    assert refused.value.smtp_code == 550
    assert refused.value.smtp_error == (
        b"5.7.26 bank.example asks to refuse mail that it did not send"
    )


def test_a_new_sender_waits_and_then_passes(site: Site) -> None:
    raw = mail("x@new.example", "greylisted")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(site.postfix.port, raw, "x@new.example", "ann@rcpt.example", ip=BAD)
    code, text = refused.value.recipients["ann@rcpt.example"]
    assert (code, text) == (450, b"4.7.1 Please come again: this sender is new here")

    def passes() -> bool:
        try:
            send(site.postfix.port, raw, "x@new.example", "ann@rcpt.example", ip=BAD)
        except smtplib.SMTPRecipientsRefused:
            return False
        return True

    settle(passes, "the sender who came again")
    assert arrived(site, "greylisted")


def test_eicar_is_refused_by_a_real_scanner(site: Site) -> None:
    raw = mail("a@good.example", "eicar", EICAR + "\r\n")
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(site.postfix.port, raw, "a@good.example", "ann@rcpt.example", ip=GOOD)
    assert b"Eicar-Test-Signature" in refused.value.smtp_error


def test_mail_with_gtube_is_refused(site: Site) -> None:
    raw = mail("a@good.example", "gtube", GTUBE + "\r\n")
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(site.postfix.port, raw, "a@good.example", "ann@rcpt.example", ip=GOOD)
    assert b"test pattern" in refused.value.smtp_error


def test_several_mails_go_over_one_connection_each_with_its_own_verdict(site: Site) -> None:
    with session(site.postfix.port, ip=GOOD) as smtp:
        smtp.sendmail("a@good.example", ["ann@rcpt.example"], mail("a@good.example", "one"))
        with pytest.raises(smtplib.SMTPDataError):
            smtp.sendmail("a@good.example", ["ann@rcpt.example"], mail("b@bank.example", "two"))
        smtp.sendmail("a@good.example", ["ann@rcpt.example"], mail("a@good.example", "three"))
    assert header(arrived(site, "one"), "X-Millrace") != header(
        arrived(site, "three"), "X-Millrace"
    )


def test_eight_clients_at_once_lose_and_double_nothing(site: Site) -> None:
    def client(number: int) -> None:
        for turn in range(5):
            raw = mail("a@good.example", f"parallel-{number}-{turn}")
            send(site.postfix.port, raw, "a@good.example", "ann@rcpt.example", ip=GOOD)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))
    for number in range(8):
        for turn in range(5):
            assert arrived(site, f"parallel-{number}-{turn}")


def test_the_archive_holds_exactly_what_was_accepted(site: Site) -> None:
    raw = mail("a@good.example", "kept")
    send(site.postfix.port, raw, "a@good.example", "ann@rcpt.example", ip=GOOD)

    def accepted() -> list[str]:
        found = site.millrace.decisions()
        return sorted(d["id"] for d in found if d["action"] in ("pass", "tag", "quarantine"))

    def kept() -> list[str]:
        lines = site.millrace.command("archive", "list", "--json").splitlines()
        return sorted(json.loads(line)["id"] for line in lines)

    assert kept()
    settle(lambda: kept() == accepted(), "the decision log, which is written in batches")
