"""A recorded world gives the same answers to the same questions."""

import asyncio

import pytest

from millrace.engine.net.recording import RecordingDns
from millrace.engine.net.zone import ZoneDns
from millrace.engine.ports import Answer

WORLD = {
    "a.example": {"TXT": ["v=spf1 -all", "Grüße"], "MX": ["10 mx.a.example"], "secure": True},
    "mx.a.example": {"A": ["192.0.2.7"], "AAAA": ["2001:db8::7"]},
    "alias.example": {"CNAME": "mx.a.example"},
    "slow.example": {"error": "timeout"},
    "half.example": {"A": ["192.0.2.8"], "TXT": {"error": "servfail"}},
    "_25._tcp.a.example": {"TLSA": ["3 1 1 00ff"]},
    "zone.example": {"SOA": ["ns.zone.example host.zone.example 1 2 3 4 5"]},
}
QUESTIONS = [
    ("a.example", "TXT"),
    ("a.example", "MX"),
    ("a.example", "A"),
    ("mx.a.example", "A"),
    ("mx.a.example", "AAAA"),
    ("alias.example", "A"),
    ("slow.example", "A"),
    ("half.example", "A"),
    ("half.example", "TXT"),
    ("nobody.example", "TXT"),
    ("_25._tcp.a.example", "TLSA"),
    ("zone.example", "SOA"),
]


def test_recorded_answers_are_those_that_were_given():
    async def both():
        recording = RecordingDns(ZoneDns.of(WORLD))
        first = [await recording.lookup(*question) for question in QUESTIONS]
        again = ZoneDns.of(recording.zone())
        return first, [await again.lookup(*question) for question in QUESTIONS]

    first, again = asyncio.run(both())
    assert [(a.status, a.records, a.secure) for a in again] == [
        (a.status, a.records, a.secure) for a in first
    ]


def test_what_was_not_asked_is_not_recorded():
    async def recorded():
        recording = RecordingDns(ZoneDns.of(WORLD))
        await recording.lookup("half.example", "A")
        return recording.zone()

    assert asyncio.run(recorded()) == {"half.example": {"A": ["192.0.2.8"]}}


@pytest.mark.parametrize("name", ["NOBODY.example", "nobody.example"])
def test_name_is_recorded_in_lower_case(name):
    async def recorded():
        recording = RecordingDns(ZoneDns.of(WORLD))
        await recording.lookup(name, "TXT")
        return recording.zone()

    assert asyncio.run(recorded()) == {"nobody.example": {"TXT": {"error": "nxdomain"}}}


class HalfSigned:
    """Answers for MX as signed, for all else as not."""

    async def lookup(self, name, kind):
        return Answer("nodata", secure=kind == "MX")

    async def close(self):
        pass


@pytest.mark.parametrize(("kinds", "secure"), [(["MX"], True), (["MX", "TXT"], False)])
def test_name_is_signed_when_all_its_answers_were(kinds, secure):
    async def recorded():
        recording = RecordingDns(HalfSigned())
        for kind in kinds:
            await recording.lookup("a.example", kind)
        return recording.zone()

    assert asyncio.run(recorded())["a.example"].get("secure", False) is secure
