"""A reverse name counts only when it leads back."""

from __future__ import annotations

import asyncio

import pytest

from millrace.engine.mailauth.iprev import NAMES_MAX, confirmed_name
from millrace.engine.ports import Answer


class Zone:
    def __init__(self, table):
        self.table = table
        self.asked = 0

    async def ask(self, name, kind):
        self.asked += 1
        found = self.table.get((name, kind), ())
        return found if isinstance(found, Answer) else Answer("found", tuple(found))

    async def ask_all(self, questions):
        return [await self.ask(*question) for question in questions]


PTR = ("7.2.0.192.in-addr.arpa", "PTR")


def name(table, ip="192.0.2.7"):
    return asyncio.run(confirmed_name(Zone(table), ip))


def test_name_that_leads_back_is_believed():
    table = {PTR: ["Liar.example.", "Mail.Example."], ("mail.example", "A"): ["192.0.2.7"]}
    assert name(table) == "mail.example"


def test_ipv6_address_is_compared_by_value_not_by_text():
    pointer = f"{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa".replace("0.0.", "0.0.", 1)
    table = {
        ("1." + pointer, "PTR"): ["six.example"],
        ("six.example", "AAAA"): ["2001:0db8:0:0::1"],
    }
    assert name(table, "2001:db8::1") == "six.example"


@pytest.mark.parametrize(
    "table",
    [
        {},
        {PTR: ["liar.example"], ("liar.example", "A"): ["192.0.2.8"]},
        {PTR: ["odd.example"], ("odd.example", "A"): ["not an address"]},
        {PTR: Answer("timeout")},
    ],
)
def test_name_that_does_not_lead_back_is_none(table):
    assert name(table) == ""


def test_only_the_first_names_are_asked():
    zone = Zone({PTR: [f"{n}.example" for n in range(100)]})
    assert asyncio.run(confirmed_name(zone, "192.0.2.7")) == ""
    assert zone.asked == 1 + NAMES_MAX


def test_peer_without_an_address_has_no_name():
    assert name({}, "") == ""
