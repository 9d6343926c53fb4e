"""The client role: what it sends when, and which reply belongs to what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import Bug, ProtocolError
from millrace.engine.mail.address import Address
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.smtp import SmtpClient

ANN = Address("ann", "a.example")
BOB = Address("bob", "b.example")
EVE = Address("eve", "b.example")
ALL = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"


def greeted(ehlo: bytes = ALL, *, lmtp: bool = False) -> SmtpClient:
    client = SmtpClient(lmtp=lmtp)
    client.hello("c.example")
    assert client.outgoing() == b""
    client.feed(b"220 mx ESMTP\r\n")
    assert client.answered().verb == ""
    assert client.outgoing() == (b"LHLO" if lmtp else b"EHLO") + b" c.example\r\n"
    client.feed(ehlo)
    assert client.answered().yes
    return client


def heard(client: SmtpClient, raw: bytes) -> list[tuple[str, int, str]]:
    client.feed(raw)
    out = []
    while (answered := client.answered()) is not None:
        out.append((answered.verb, answered.reply.code, str(answered.recipient or "")))
    return out


def test_group_goes_out_at_once_when_pipelining_is_offered():
    client = greeted()
    client.mail(ANN, size=50)
    client.rcpt(BOB)
    client.rcpt(EVE)
    client.data()
    client.quit()
    assert client.outgoing() == (
        b"MAIL FROM:<ann@a.example> SIZE=50 BODY=8BITMIME\r\n"
        b"RCPT TO:<bob@b.example>\r\nRCPT TO:<eve@b.example>\r\nDATA\r\n"
    )
    assert heard(client, b"250 Ok\r\n250 Ok\r\n550 No\r\n354 Go\r\n") == [
        ("MAIL", 250, ""),
        ("RCPT", 250, "bob@b.example"),
        ("RCPT", 550, "eve@b.example"),
        ("DATA", 354, ""),
    ]
    assert client.outgoing() == b""
    client.write(b".x\r\n")
    client.finish()
    assert client.outgoing() == b"..x\r\n.\r\n"
    assert heard(client, b"250 Ok\r\n") == [(".", 250, "")]
    assert client.outgoing() == b"QUIT\r\n"


def test_commands_go_one_by_one_without_pipelining():
    client = greeted(b"250 mx\r\n")
    client.mail(None, size=50)
    client.rcpt(BOB)
    assert client.outgoing() == b"MAIL FROM:<>\r\n"
    assert client.outgoing() == b""
    assert heard(client, b"250 Ok\r\n") == [("MAIL", 250, "")]
    assert client.outgoing() == b"RCPT TO:<bob@b.example>\r\n"
    assert not client.idle
    assert heard(client, b"250 Ok\r\n") == [("RCPT", 250, "bob@b.example")]
    assert client.idle


def test_lmtp_answers_for_each_accepted_recipient():
    client = greeted(lmtp=True)
    client.mail(ANN)
    for recipient in (BOB, EVE, ANN):
        client.rcpt(recipient)
    client.data()
    client.outgoing()
    heard(client, b"250 Ok\r\n250 Ok\r\n550 No\r\n250 Ok\r\n354 Go\r\n")
    client.write(b"x\r\n")
    client.finish()
    assert heard(client, b"250 Ok\r\n452 Full\r\n") == [
        (".", 250, "bob@b.example"),
        (".", 452, "ann@a.example"),
    ]
    assert client.idle


def test_utf8_addresses_need_a_server_that_takes_them():
    odd = Address("\u00e4", "b.example")
    with pytest.raises(ProtocolError) as caught:
        greeted(b"250 mx\r\n").mail(odd)
    assert caught.value.reply.startswith("550 5.6.7")
    client = greeted()
    client.mail(odd)
    client.rcpt(odd)
    assert client.outgoing().startswith(
        "MAIL FROM:<\u00e4@b.example> BODY=8BITMIME SMTPUTF8".encode()
    )
    client = greeted()
    client.mail(ANN)
    with pytest.raises(ProtocolError):
        client.rcpt(odd)


@pytest.mark.parametrize("local", ["a\r\nRSET", "a\nb", "a\0", "a\x7f"])
def test_no_address_carries_a_second_command(local):
    client = greeted()
    with pytest.raises(ProtocolError):
        client.mail(Address(local, "b.example"))
    assert client.outgoing() == b""


def test_text_behind_the_220_of_starttls_is_refused():
    client = greeted(b"250-mx\r\n250 STARTTLS\r\n")
    client.starttls()
    client.outgoing()
    assert heard(client, b"220 Go\r\n") == [("STARTTLS", 220, "")]
    client.feed(b"250 injected\r\n")
    with pytest.raises(ProtocolError):
        client.tls_started()


def test_extensions_said_in_clear_are_forgotten_after_tls():
    client = greeted(b"250-mx\r\n250 STARTTLS\r\n")
    assert client.extensions == {"STARTTLS": ""}
    client.starttls()
    client.outgoing()
    heard(client, b"220 Go\r\n")
    client.tls_started()
    assert client.extensions == {}


def test_reply_that_nothing_asked_for_is_an_error():
    client = greeted()
    with pytest.raises(ProtocolError):
        heard(client, b"250 Ok\r\n")


def test_server_may_say_421_at_any_time():
    assert heard(greeted(), b"421 4.3.2 Going down\r\n") == [("", 421, "")]


def test_mail_data_before_the_354_is_our_own_bug():
    client = greeted()
    with pytest.raises(Bug):
        client.write(b"x")


def test_mail_data_with_bare_lf_is_not_sent():
    client = greeted()
    client.mail(ANN)
    client.rcpt(BOB)
    client.data()
    client.outgoing()
    heard(client, b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
    with pytest.raises(ProtocolError):
        client.write(b"a\n.\nMAIL FROM:<x@y.example>\r\n")
    assert client.outgoing() == b""


def test_forwarded_client_is_written_in_xtext():
    client = greeted()
    client.forwarded({"ADDR": "2001:db8::1", "NAME": "", "HELO": "a +=\u00e4"})
    assert client.outgoing() == (
        b"XFORWARD ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE] HELO=a+20+2B+3D+C3+A4\r\n"
    )


def test_refused_ehlo_leaves_no_extensions_and_helo_follows():
    client = SmtpClient()
    client.hello("c")
    heard(client, b"220 mx\r\n")
    client.outgoing()
    assert heard(client, b"502 What?\r\n") == [("EHLO", 502, "")]
    client.helo("c")
    assert client.outgoing() == b"HELO c\r\n"
    assert heard(client, b"250 mx\r\n") == [("HELO", 250, "")]
    assert client.extensions == {}


@given(st.binary(max_size=200))
def test_no_server_bytes_raise_but_protocol_errors(raw):
    client = greeted()
    client.mail(ANN)
    client.rcpt(BOB)
    client.outgoing()
    try:
        answers = heard(client, raw)
    except ProtocolError:
        return
    assert len(answers) <= 3


def test_answer_knows_its_reply_in_full():
    client = greeted()
    client.mail(ANN)
    client.outgoing()
    client.feed(b"550-5.7.1 one\r\n550 5.7.1 two\r\n")
    answered = client.answered()
    assert answered.reply == Reply(550, "5.7.1", "one\ntwo")
    assert not answered.yes
