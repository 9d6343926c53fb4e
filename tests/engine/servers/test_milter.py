"""The milter front end without a runtime: events in, messages out, records kept."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

import pytest
from fakes import ManualClock, plan_of, room_for, uses

from millrace.engine.census import MAILS, OCTETS, Census
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import AddHeader, AddRecipient, RemoveRecipient
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Listener, Message
from millrace.engine.mail.verdict import Reply
from millrace.engine.mailauth.bodyhash import BodyHashing, hash_body, listeners
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.policy.decision import Decision
from millrace.engine.pressure import FULL, Pressure, Room
from millrace.engine.servers.milter import Bounds, MilterFrontEnd, wants
from millrace.engine.wire import milter as wire


def talk(
    *events: wire.Event, policy: str = ""
) -> tuple[list[Sequence[wire.Message]], list[Decision]]:
    """The answers to some events at a door for mails of 100 octets, and the records."""
    records: list[Decision] = []
    serving = Serving(plan_of("", policy), dict, ManualClock(), records.append)
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


@pytest.mark.parametrize("octets", [100, 100_000], ids=["at the end", "in its midst"])
def test_a_mail_that_the_spool_has_no_room_for_is_asked_to_come_again(octets: int) -> None:
    serving = Serving(plan_of("", ""), dict, ManualClock(), lambda _: None)
    front = MilterFrontEnd(serving, "x", Bounds(spool_above=10))
    events = (*ENVELOPE, wire.BodyChunk(b"x" * octets), wire.EndOfMessage())

    async def go() -> Sequence[wire.Message]:
        return [await front.take(event) for event in events if not front.note(event)][-1]

    with room_for(10):
        (reply,) = asyncio.run(go())
    assert isinstance(reply, Reply)
    assert (reply.code, reply.enhanced) == (452, "4.3.1")


def test_the_header_section_counts_as_work_in_hand_too() -> None:
    census = Census()
    pressure = Pressure(Room(mails=9, octets=1000), census.seat(0))
    serving = Serving(plan_of("", ""), dict, ManualClock(), lambda _: None)
    front = MilterFrontEnd(serving, "x", Bounds(pressure=pressure))

    async def sent(octets: int) -> Sequence[wire.Message]:
        field = wire.Header(b"X", b"y" * (octets - 1))
        for event in (*ENVELOPE, field):
            if not front.note(event):
                await front.take(event)
        answer = await front.take(wire.EndOfHeaders())
        assert census.seat(0).total(OCTETS) == (octets if octets <= 500 else 0)
        await front.take(wire.Abort())
        return answer

    assert asyncio.run(sent(400)) == (wire.Answer.CONTINUE,)
    assert asyncio.run(sent(1100)) == (FULL,)
    assert (census.seat(0).total(MAILS), census.seat(0).total(OCTETS)) == (0, 0)


def test_a_mail_below_the_limit_is_taken_and_recorded_once() -> None:
    answers, records = talk(*ENVELOPE, wire.BodyChunk(b"x" * 60), wire.EndOfMessage())
    assert answers[-1] == (wire.Answer.ACCEPT,)
    assert [record.verdict.action.word for record in records] == ["pass"]


class Heard(Fact):
    """A fact."""


class Listen:
    """Wants a running hash, and notes what was heard when the mail is whole."""

    bodies: ClassVar[list[dict[object, object]]] = []

    def listeners(self, headers: Headers) -> Mapping[Hashable, Listener]:
        wish = BodyHashing("simple", "sha256", len(headers.all(b"Subject")))
        return listeners([wish])

    def run(self, message: Message) -> Heard:
        self.bodies.append(dict(message.body.heard))
        return Heard()


def test_a_large_body_is_heard_while_the_mta_sends_it() -> None:
    serving = Serving(plan_of(uses("listen"), listen=Listen), dict, ManualClock(), lambda _: None)
    front = MilterFrontEnd(serving, "x", Bounds())
    chunks = [wire.BodyChunk(b"x" * 60_000)] * 6
    head = (wire.Header(b"Subject", b" a"), wire.EndOfHeaders())

    async def go() -> None:
        for event in (*ENVELOPE, *head, *chunks, wire.EndOfMessage()):
            if not front.note(event):
                await front.take(event)

    asyncio.run(go())
    wish = BodyHashing("simple", "sha256", 1)
    assert Listen.bodies == [hash_body([b"x" * 360_000], [wish])]


ACTS = """
[[rule]]
name = "look"
when = "message"
then = "quarantine"
quarantine = "phishing {message.size}"
redirect = "team@c.example"
add_header = { X-Team = "for {sender.local}" }
"""


def test_rule_says_why_mail_is_held_where_it_goes_and_what_is_added() -> None:
    head = (wire.Header(b"Subject", b" a"), wire.EndOfHeaders())
    answers, _ = talk(*ENVELOPE, *head, wire.EndOfMessage(), policy=ACTS)
    assert answers[-1] == (
        AddHeader("X-Team", "for a"),
        AddRecipient(Address("team", "c.example")),
        RemoveRecipient(Address("ann", "c.example")),
        wire.Quarantine("phishing 14"),
        wire.Answer.ACCEPT,
    )


def test_the_header_is_asked_for_when_a_rule_asks_for_a_field_of_it() -> None:
    rule = "[[rule]]\nname = 'r'\nthen = 'reject'\nwhen = \"{}\"\n"
    with_field = wants(plan_of("", rule.format("header('List-Id') == 'x'")))
    without = wants(plan_of("", rule.format("sender.local == 'x'")))
    assert wire.Command.HEADER in with_field.events
    assert wire.Command.BODY not in with_field.events
    assert wire.Command.HEADER not in without.events
