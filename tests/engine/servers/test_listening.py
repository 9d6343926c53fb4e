"""A large mail is hashed as it streams in, through both doors."""

from __future__ import annotations

import hashlib

import pytest
from fakes import plan_of, uses

from millrace.engine.mail.finding import Fact
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import LISTEN_ABOVE, Message
from millrace.engine.pipeline.run import listeners
from millrace.engine.servers.intake import Intake

BODY = b"x" * (LISTEN_ABOVE + 1)


class Summed(Fact):
    """A fact."""


class Running:
    def __init__(self) -> None:
        self.sum = hashlib.sha256()

    def update(self, chunk: bytes) -> None:
        self.sum.update(chunk)

    def result(self) -> object:
        return self.sum.hexdigest()


class Listen:
    def listeners(self, headers: Headers) -> dict[str, Running]:
        return {"sum": Running()} if headers.all(b"Sum") else {}

    def run(self, message: Message) -> Summed:
        return Summed()


class Crash(Listen):
    def listeners(self, headers: Headers) -> dict[str, Running]:
        raise AssertionError


def taken(raw: bytes, *filters: type) -> Message:
    plan = plan_of(
        uses(*(f.__name__.lower() for f in filters)), **{f.__name__.lower(): f for f in filters}
    )
    intake = Intake(listen=lambda headers: listeners(plan.nodes, headers))
    for at in range(0, len(raw), 10_000):
        intake.write(raw[at : at + 10_000])
    return intake.finish()


def test_a_filter_hears_a_large_body_while_it_arrives() -> None:
    message = taken(b"Sum: yes\r\n\r\n" + BODY, Listen)
    assert message.body.heard == {"sum": hashlib.sha256(BODY).hexdigest()}


def test_a_filter_that_wants_nothing_of_this_mail_is_not_bothered() -> None:
    assert taken(b"Subject: no\r\n\r\n" + BODY, Listen).body.heard == {}


def test_a_filter_that_fails_to_listen_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    message = taken(b"Sum: yes\r\n\r\n" + BODY, Crash, Listen)
    assert set(message.body.heard) == {"sum"}
    assert "crash cannot listen" in caplog.text
