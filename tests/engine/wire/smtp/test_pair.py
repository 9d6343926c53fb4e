"""Client core and server core back to back: what one says, the other understands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.address import Address
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.smtp import SmtpClient, SmtpServer
from millrace.engine.wire.smtp import events as ev

ANN = Address("ann", "a.example")
ODD = Address('"a >b"', "b.example")
UTF8 = Address("\u00fc", "\u00fc.example")


class Pair:
    """Joins both; `step` octets travel at a time."""

    def __init__(self, server: SmtpServer, step: int = 1000) -> None:
        self.server = server
        self.client = SmtpClient()
        self.step = step
        self.events: list[ev.Event] = []
        self.answers: dict[str, Reply] = {}
        self.mail = b""

    def run(self) -> list[tuple[str, int]]:
        """Until both are silent; the client's answers."""
        out = []
        for _ in range(10_000):
            moved = self._there() + self._back()
            while (answered := self.client.answered()) is not None:
                out.append((answered.verb, answered.reply.code))
                moved += 1
            if not moved:
                return out
        raise AssertionError("the two never end")

    def _there(self) -> int:
        raw = self.client.outgoing()
        for at in range(0, len(raw), self.step):
            self.server.feed(raw[at : at + self.step])
            self._hear()
        self._hear()
        return len(raw)

    def _back(self) -> int:
        raw = self.server.outgoing()
        for at in range(0, len(raw), self.step):
            self.client.feed(raw[at : at + self.step])
        return len(raw)

    def _hear(self) -> None:
        while (event := self.server.event()) is not None:
            if isinstance(event, ev.DataChunk):
                self.mail += event.data
                continue
            self.events.append(event)
            if isinstance(event, ev.Question):
                self.server.answer(self.answers.get(type(event).__name__))


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_mail_arrives_as_it_was_sent(step):
    pair = Pair(SmtpServer("mx.example"), step)
    pair.client.hello("c.example")
    assert pair.run() == [("", 220), ("EHLO", 250)]
    assert set(pair.client.extensions) == {
        "PIPELINING",
        "SIZE",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
    }
    pair.client.mail(ANN, size=12, utf8=True)
    pair.client.rcpt(ODD)
    pair.client.rcpt(UTF8)
    pair.client.data()
    assert pair.run() == [("MAIL", 250), ("RCPT", 250), ("RCPT", 250), ("DATA", 354)]
    pair.client.write(b"a: b\r\n\r\n.\r\n")
    pair.client.finish()
    assert pair.run() == [(".", 250)]
    pair.client.quit()
    assert pair.run() == [("QUIT", 221)]
    assert pair.mail == b"a: b\r\n\r\n.\r\n"
    assert pair.server.closed
    assert pair.events == [
        ev.Connected(),
        ev.Hello("c.example", extended=True),
        ev.MailFrom(ANN, ("SIZE=12", "BODY=8BITMIME", "SMTPUTF8"), 12, utf8=True),
        ev.RcptTo(ODD),
        ev.RcptTo(UTF8),
        ev.DataBegin(),
        ev.DataEnd(),
        ev.Quit(),
    ]


def test_refused_recipients_end_in_a_refused_data():
    pair = Pair(SmtpServer("mx.example"))
    pair.answers["RcptTo"] = Reply(550, "5.1.1", "No")
    pair.client.hello("c")
    pair.run()
    pair.client.mail(ANN)
    pair.client.rcpt(ANN)
    pair.client.data()
    pair.client.reset()
    assert pair.run() == [("MAIL", 250), ("RCPT", 550), ("DATA", 554), ("RSET", 250)]


def test_xclient_values_come_through_unchanged():
    pair = Pair(SmtpServer("mx.example", trusts=("XCLIENT",)))
    pair.client.hello("c")
    pair.run()
    said = {"ADDR": "2001:db8::7", "NAME": "", "HELO": "odd +=\u00e4 name"}
    pair.client.forwarded(said, "XCLIENT")
    assert pair.run() == [("XCLIENT", 220)]
    assert dict(pair.events[-1].attributes) == said


def test_tls_is_offered_agreed_and_then_gone():
    pair = Pair(SmtpServer("mx.example", tls=True))
    pair.client.hello("c")
    pair.run()
    assert "STARTTLS" in pair.client.extensions
    pair.client.starttls()
    assert pair.run() == [("STARTTLS", 220)]
    pair.server.tls_started()
    pair.client.tls_started()
    pair.client.hello("c")
    pair.run()
    assert "STARTTLS" not in pair.client.extensions


@given(
    st.lists(st.sampled_from([b".", b"..", b"text", b"\0", b"QUIT", b""]), max_size=12),
    st.integers(1, 7),
)
def test_any_body_survives_the_journey(lines, step):
    body = b"".join(line + b"\r\n" for line in lines)
    pair = Pair(SmtpServer("mx.example"), step)
    pair.client.hello("c")
    pair.client.mail(ANN)
    pair.client.rcpt(ANN)
    pair.client.data()
    assert pair.run()[-1] == ("DATA", 354)
    pair.client.write(body)
    pair.client.finish()
    assert pair.run() == [(".", 250)]
    assert pair.mail == body
