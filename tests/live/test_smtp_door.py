"""The SMTP door over real sockets: before Postfix's queue, with TLS, and each end of data."""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port, wait_for
from live.certificates import certificate
from live.parties import Millrace, Postfix, Sink, header, send, session, settle
from live.sites import GOOD, ODD, arrived, decided, engine, mail

ANN, BOB = "ann@rcpt.example", "bob@rcpt.example"
SETTINGS = """
profile = "production"
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "maildir:Maildir"
hostname = "mx.rcpt.example"
tls_certificate = "{certificate}"
tls_key = "{key}"
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "smtp:inet:{back}@127.0.0.1"
hostname = "filter.rcpt.example"
trusted = ["127.0.0.1"]
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "lmtp:inet:{lmtp}@127.0.0.1"
[http]
address = ""
[dns]
zone = "zone.json"
[log]
decisions = "decisions.jsonl"
"""
BEHIND = """127.0.0.1:{back} inet n - n - 100 smtpd
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o mynetworks=127.0.0.0/8
  -o smtpd_proxy_filter=
"""


@dataclass
class Doors:
    """One daemon with three doors, Postfix before and behind the second of them."""

    millrace: Millrace
    postfix: Postfix
    sink: Sink
    lmtp: Sink

    @property
    def maildir_port(self) -> int:
        return self.millrace.port("smtp", 0)

    def delivered(self) -> list[bytes]:
        """The Maildir's mails."""
        folder = self.millrace.folder / "Maildir" / "new"
        return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.exists() else []

    def of(self, sender: str) -> list[dict[str, Any]]:
        """Records of one sender's mails."""
        return [each for each in self.millrace.decisions() if each["from"] == sender]


@pytest.fixture(scope="module")
def doors(root: None, new_folder: Callable[[str], Path]) -> Iterator[Doors]:
    folder = new_folder("doors")
    back, lmtp = free_port(), Sink(folder / "lmtp", options=("-L",))
    made, key = certificate(folder)
    settings = SETTINGS.format(certificate=made, key=key, back=back, lmtp=lmtp.port)
    millrace = engine(folder / "here", ODD, settings=settings, policy="empty").start()
    sink = Sink(folder / "sink").start()
    lmtp.start()
    proxy = f"\n  -o smtpd_proxy_filter=127.0.0.1:{millrace.port('smtp', 1)}"
    behind = BEHIND.format(back=back)
    postfix = Postfix(folder / "postfix", "", sink, proxy=proxy, master=behind)
    try:
        yield Doors(millrace, postfix.start(), sink, lmtp)
    finally:
        postfix.stop()
        sink.stop()
        lmtp.stop()
        millrace.stop()


# --- before the queue of Postfix


def test_mail_goes_through_the_door_and_back_into_postfix(doors: Doors) -> None:
    send(doors.postfix.port, mail("through", "add, more"), "t@good.example", ANN, ip=GOOD)
    out = arrived(doors.sink, "through")
    assert header(out.raw, "X-Added") == ["at the end"]
    assert sorted(out.recipients) == ["added@rcpt.example", ANN]
    assert any("by filter.rcpt.example (Millrace)" in each for each in header(out.raw, "Received"))


def test_the_filters_see_the_client_of_postfix_by_xforward(doors: Doors) -> None:
    where = {"ip": "2001:db8::7", "helo": "far.example"}
    send(doors.postfix.port, mail("far"), "far@good.example", ANN, **where)
    record = decided(doors.millrace, lambda each: each["from"] == "far@good.example")
    assert record["session"]["ip"] == "2001:db8::7"
    assert record["session"]["helo"] == "far.example"


def test_each_mail_of_a_connection_is_judged_by_itself(doors: Doors) -> None:
    with session(doors.postfix.port, ip=GOOD) as smtp:
        smtp.sendmail("1@good.example", [ANN], mail("first"))
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.sendmail("2@good.example", [ANN], mail("second", "refuse"))
        smtp.sendmail("3@good.example", [ANN], mail("third"))
    assert refused.value.smtp_code == 550
    assert refused.value.smtp_error.startswith(b"5.7.1 No,")
    assert arrived(doors.sink, "first")
    assert arrived(doors.sink, "third")


def test_a_refused_recipient_is_refused_to_the_client(doors: Doors) -> None:
    # Postfix asks us for each recipient before it answers
    to = [ANN, "refused@rcpt.example"]
    refused = send(doors.postfix.port, mail("one-of-two"), "a@good.example", *to, ip=GOOD)
    assert refused["refused@rcpt.example"][0] == 550
    assert arrived(doors.sink, "one-of-two").recipients == [ANN]


# --- TLS, LMTP, Maildir


def test_a_mail_over_starttls_lies_in_the_maildir(doors: Doors) -> None:
    context = ssl.create_default_context(cafile=str(doors.millrace.folder.parent / "cert.pem"))
    context.check_hostname = False
    with smtplib.SMTP("127.0.0.1", doors.maildir_port, "tls.example", 30) as smtp:
        smtp.starttls(context=context)
        smtp.sendmail("tls@good.example", [ANN], mail("over-tls"))
    (raw,) = [each for each in doors.delivered() if b"Subject: over-tls\n" in each]
    assert b"with ESMTPS id" in raw
    assert b"Return-Path: <tls@good.example>\nDelivered-To: ann@rcpt.example\n" in raw
    record = decided(doors.millrace, lambda each: each["from"] == "tls@good.example")
    assert record["facts"]["lookaround"]["tls"].startswith("TLSv1")


def test_text_behind_starttls_is_never_taken_for_a_command(doors: Doors) -> None:
    with socket.create_connection(("127.0.0.1", doors.maildir_port), 10) as peer:
        text = b"EHLO x.example\r\nSTARTTLS\r\nMAIL FROM:<injected@good.example>\r\n"
        answers = said(peer, text)
    assert not any(line.startswith(b"250 2.1.0") for line in answers)
    assert not doors.of("injected@good.example")


def test_an_lmtp_hop_gets_the_mail_with_all_recipients(doors: Doors) -> None:
    with smtplib.SMTP("127.0.0.1", doors.millrace.port("smtp", 2), "l.example", 30) as smtp:
        smtp.sendmail("l@good.example", [ANN, BOB], mail("by-lmtp"))
    assert sorted(arrived(doors.lmtp, "by-lmtp").recipients) == [ANN, BOB]


# --- the end of data


def variants() -> list[dict[str, Any]]:
    """The published table, or none where it is not beside the checkout."""
    for folder in Path(__file__).resolve().parents:
        path = folder / "shared" / "data" / "smtp" / "end-of-data.json"
        if path.exists():
            return list(json.loads(path.read_text()))
    return []


def said(peer: socket.socket, text: bytes, *, by_octet: bool = False) -> list[bytes]:
    """Everything that is answered to a whole conversation; the peer then hangs up."""
    if by_octet:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for piece in [text[at : at + 1] for at in range(len(text))] if by_octet else [text]:
            peer.sendall(piece)
        peer.shutdown(socket.SHUT_WR)
    except ConnectionError:
        pass
    answers = b""
    try:
        while data := peer.recv(1 << 16):
            answers += data
    except ConnectionError:
        pass
    return answers.split(b"\r\n")


def smuggled(name: str, sequence: bytes) -> bytes:
    """A mail, the sequence, and behind it what a smuggler wants to be taken for a second one."""
    head = f"EHLO x.example\r\nMAIL FROM:<1.{name}@good.example>\r\n"
    first = f"RCPT TO:<{ANN}>\r\nDATA\r\nSubject: {name}\r\n\r\nfirst"
    second = f"MAIL FROM:<2.{name}@good.example>\r\nRCPT TO:<{ANN}>\r\nDATA\r\n"
    second += f"Subject: {name}\r\n\r\nsecond\r\n.\r\nQUIT\r\n"
    return (head + first).encode() + sequence + second.encode()


@pytest.mark.data
@pytest.mark.parametrize("by_octet", [False, True], ids=["pipelined", "octet-by-octet"])
@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant["name"])
def test_every_end_of_data_is_one_mail_or_none_but_never_two(
    doors: Doors, variant: dict[str, Any], by_octet: bool
) -> None:
    word = f"{variant['hex']}-{by_octet}"
    with socket.create_connection(("127.0.0.1", doors.maildir_port), 10) as peer:
        answers = said(peer, smuggled(word, bytes.fromhex(variant["hex"])), by_octet=by_octet)
    taken = [raw for raw in doors.delivered() if f"Subject: {word}\n".encode() in raw]
    yes = sum(line.startswith(b"250 2.0.0 Taken") for line in answers)
    assert len(taken) == yes
    if variant["ends"]:
        # the only true end: what follows is no part of the first mail
        assert not any(b"MAIL FROM" in raw for raw in taken)
        assert yes == (2 if variant["name"] == "CRLF.CRLF" else 0)
        return
    assert yes <= 1
    assert not any(b"Return-Path: <2." in raw for raw in taken)
    settle(lambda: len(doors.of(f"1.{word}@good.example")) >= yes, "the record")
    assert not doors.of(f"2.{word}@good.example")


@pytest.mark.data
def test_the_published_ends_of_data_are_all_here(shared_data: Path) -> None:
    assert len(variants()) == len(json.loads((shared_data / "smtp/end-of-data.json").read_text()))
    assert [each["name"] for each in variants() if each["ends"]] == ["CRLF.CRLF", "CR CRLF . CRLF"]


def test_a_client_that_vanishes_in_mid_data_leaves_no_mail(doors: Doors) -> None:
    with socket.create_connection(("127.0.0.1", doors.maildir_port), 10) as peer:
        text = smuggled("vanished", b"\r\nno end").partition(b"MAIL FROM:<2.")[0]
        said(peer, text)
    with smtplib.SMTP("127.0.0.1", doors.maildir_port, "x.example", 30) as smtp:
        smtp.sendmail("after@good.example", [ANN], mail("after-vanished"))
    wait_for(lambda: len(doors.of("after@good.example")) == 1, "the next mail's record")
    assert not [raw for raw in doors.delivered() if b"Subject: vanished" in raw]
