"""The milter front end without a runtime: events in, messages out, records kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fakes import ManualClock, plan_of

from millrace.engine.mail.verdict import Reply
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.policy.decision import Decision
from millrace.engine.servers.milter import Bounds, MilterFrontEnd
from millrace.engine.wire import milter as wire


def talk(*events: wire.Event) -> tuple[list[Sequence[wire.Message]], list[Decision]]:
    """The answers to some events at a door for mails of 100 octets, and the records."""
    records: list[Decision] = []
    serving = Serving(plan_of(""), dict, ManualClock(), records.append)
    front = MilterFrontEnd(serving, "x", Bounds(message=100))

    async def go() -> list[Sequence[wire.Message]]:
        return [await front.take(event) for event in events if not front.note(event)]

    return asyncio.run(go()), records


ENVELOPE = (
    wire.Connect("mx.b.example", "inet", "192.0.2.7", 25),
    wire.MailFrom("<a@b.example>"),
    wire.RcptTo("<ann@c.example>"),
)


def test_a_mail_above_the_limit_is_refused_and_recorded_once() -> None:
    body = (wire.BodyChunk(b"x" * 60), wire.BodyChunk(b"x" * 60), wire.EndOfMessage())
    answers, records = talk(*ENVELOPE, wire.Macros(wire.Command.MAIL, {"i": "4F2A"}), *body)
    (reply,) = answers[-1]
    assert isinstance(reply, Reply)
    assert (reply.code, reply.enhanced) == (552, "5.3.4")
    (record,) = records
    assert (record.id, record.verdict.action.word, record.verdict.reply) == (
        "4F2A",
        "reject",
        reply,
    )
    assert record.verdict.because is not None
    assert record.verdict.because.rule == "limit"


def test_a_mail_below_the_limit_is_taken_and_recorded_once() -> None:
    answers, records = talk(*ENVELOPE, wire.BodyChunk(b"x" * 60), wire.EndOfMessage())
    assert answers[-1] == (wire.Answer.ACCEPT,)
    assert [record.verdict.action.word for record in records] == ["pass"]
