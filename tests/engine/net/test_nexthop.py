"""Handing mails over to a real socket with a scripted hop behind it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from millrace.engine.errors import Unavailable
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.message import Message
from millrace.engine.mail.verdict import Reply
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.net.listener import listen
from millrace.engine.net.nexthop import Patience, SmtpHop
from millrace.engine.net.stream import Stream
from millrace.engine.wire.smtp import SmtpServer
from millrace.engine.wire.smtp import events as ev

ANN = Address("ann", "a.example")
BOB = Recipient(Address("bob", "b.example"))
EVE = Recipient(Address("eve", "b.example"))
ENVELOPE = Envelope("1", Sender(ANN), (BOB, EVE))
MAIL = Message.parse(b"Subject: x\r\n\r\n.hello\r\n")


@dataclass
class Hop:
    """A next hop on our own server core; `answers` by event name, or recipient."""

    answers: dict[str, Reply] = field(default_factory=dict)
    mails: list[bytes] = field(default_factory=list)
    events: list[ev.Event] = field(default_factory=list)
    tls: object = None

    async def serve(self, stream: Stream) -> None:
        core = SmtpServer("hop.example", tls=self.tls is not None)
        mail = b""
        while not core.closed:
            while (event := core.event()) is not None:
                self.events.append(event)
                mail = b"" if isinstance(event, ev.DataBegin) else mail
                mail += event.data if isinstance(event, ev.DataChunk) else b""
                if isinstance(event, ev.DataEnd):
                    self.mails.append(mail)
                if isinstance(event, ev.StartTls):
                    stream.hold()
                if isinstance(event, ev.Question):
                    core.answer(self.answer(event))
                if isinstance(event, ev.StartTls):
                    await stream.send(core.outgoing())
                    await stream.start_tls(self.tls)
                    core.tls_started()
            stream.write(core.outgoing())
            data = b"" if core.closed else await stream.read()
            if not data:
                return
            core.feed(data)

    def answer(self, event):
        key = str(event.address) if isinstance(event, ev.RcptTo) else type(event).__name__
        return self.answers.get(key)


def deliver(serve, envelope=ENVELOPE, message=MAIL, **options):
    async def run():
        listener = await listen("inet:0@127.0.0.1", serve)
        try:
            hop = SmtpHop(listener.endpoint, "c.example", **options)
            return await hop.deliver(envelope, message)
        finally:
            await listener.close(grace=2)

    return asyncio.run(run())


def scripted(*replies: bytes, heard: list[bytes] | None = None):
    """A hop that says the next reply whenever something comes."""

    async def serve(stream):
        for reply in replies:
            stream.write(reply)
            data = await stream.read()
            if heard is not None:
                heard.append(data)

    return serve


def test_mail_is_handed_over_whole():
    hop = Hop()
    delivery = deliver(hop.serve)
    assert delivery.reply == Reply(250, "2.0.0", "Ok")
    assert hop.mails == [bytes(MAIL)]
    said = [event for event in hop.events if isinstance(event, (ev.MailFrom, ev.RcptTo))]
    assert [event.address for event in said] == [ANN, BOB.address, EVE.address]
    assert said[0].options == (f"SIZE={MAIL.size}", "BODY=8BITMIME")
    assert isinstance(hop.events[-1], ev.Quit)


def test_one_refused_recipient_means_nothing_is_delivered():
    hop = Hop({"eve@b.example": Reply(550, "5.1.1", "No such user")})
    delivery = deliver(hop.serve)
    assert delivery.reply == Reply(550, "5.1.1", "<eve@b.example>: No such user")
    assert delivery.recipients == {"eve@b.example": delivery.reply}
    assert hop.mails == []


@pytest.mark.parametrize("event", ["MailFrom", "DataBegin", "DataEnd"])
@pytest.mark.parametrize("code", [451, 554])
def test_what_the_hop_says_about_the_mail_is_the_answer(event, code):
    reply = Reply(code, f"{code // 100}.7.1", "Not this one")
    assert deliver(Hop({event: reply}).serve).reply == reply


@pytest.mark.parametrize("event", ["Connected", "Hello"])
def test_hop_that_does_not_want_us_is_unavailable(event):
    with pytest.raises(Unavailable, match=r"smtp inet:\d+@127.0.0.1: 554 5.7.1 Go away"):
        deliver(Hop({event: Reply(554, "5.7.1", "Go away")}).serve)


@pytest.mark.parametrize("event", ["MailFrom", "bob@b.example", "DataEnd"])
def test_hop_that_shuts_down_is_unavailable(event):
    with pytest.raises(Unavailable, match="Going down"):
        deliver(Hop({event: Reply(421, "4.3.2", "Going down")}).serve)


def test_helo_is_tried_where_ehlo_is_unknown():
    heard = []
    replies = (b"220 hop\r\n", b"502 What?\r\n", b"250 hop\r\n", b"550 no\r\n", b"503 no\r\n")
    serve = scripted(*replies, heard=heard)
    delivery = deliver(serve, Envelope("1", Sender(None), (BOB,)))
    assert delivery.reply == Reply(550, "5.0.0", "no")
    assert heard[1:3] == [b"HELO c.example\r\n", b"MAIL FROM:<>\r\n"]


def test_lmtp_counts_the_strictest_of_its_answers():
    replies = (
        b"220 hop\r\n",
        b"250-hop\r\n250 PIPELINING\r\n",
        b"250 Ok\r\n250 Ok\r\n250 Ok\r\n",
        b"354 Go\r\n",
        b"250 2.0.0 Ok\r\n452 4.2.2 Full\r\n",
    )
    heard = []
    delivery = deliver(scripted(*replies, heard=heard), lmtp=True)
    assert heard[0] == b"LHLO c.example\r\n"
    assert delivery.reply == Reply(452, "4.2.2", "<eve@b.example>: Full")
    assert delivery.recipients["bob@b.example"].code == 250


def test_silent_hop_is_unavailable_after_our_patience():
    async def silent(stream):
        await stream.read()

    patience = Patience(reply=0.01)
    with pytest.raises(Unavailable, match=r"silent for 0\.01 s"):
        deliver(silent, patience=patience)


@pytest.mark.parametrize(
    "replies", [(b"220 hop\r\n",), (b"hello?\r\n",), (b"220 hop\r\n", b"250 a\n")]
)
def test_hop_that_breaks_off_or_speaks_no_smtp_is_unavailable(replies):
    with pytest.raises(Unavailable):
        deliver(scripted(*replies))


def test_nobody_at_the_address_is_unavailable(tmp_path):
    hop = SmtpHop(Endpoint("unix", path=str(tmp_path / "none")), "c.example")
    with pytest.raises(Unavailable, match="unix:"):
        asyncio.run(hop.deliver(ENVELOPE, MAIL))


def test_bare_lf_in_the_mail_is_refused_and_never_ends_there():
    hop = Hop()
    mail = Message.parse(b"Subject: x\r\n\r\nfirst\n.\nMAIL FROM:<x@y.example>\r\n")
    assert deliver(hop.serve, message=mail).reply == Reply(554, "5.6.0", "Bare CR or LF in mail")
    assert hop.mails == []


def test_utf8_recipient_needs_a_hop_that_takes_it():
    odd = Recipient(Address("\u00e4", "b.example"))
    envelope = Envelope("1", Sender(ANN), (odd,))
    hop = Hop()
    assert deliver(hop.serve, envelope).reply.code == 250
    plain = scripted(b"220 hop\r\n", b"250 hop\r\n")
    assert deliver(plain, envelope).reply.enhanced == "5.6.7"


def test_tls_is_never_skipped_when_it_is_asked_for(tls_pair):
    hop = Hop(tls=tls_pair.server)
    assert deliver(hop.serve, tls=tls_pair.client).reply.code == 250
    assert hop.mails == [bytes(MAIL)]
    with pytest.raises(Unavailable, match="503"):
        deliver(Hop().serve, tls=tls_pair.client)
