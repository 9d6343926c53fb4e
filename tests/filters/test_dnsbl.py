"""Lists in the DNS.  RFC 5782."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import FakeDns, Walker, plan_of

from millrace.engine.errors import Unavailable
from millrace.engine.mail.session import Peer
from millrace.engine.ports import Answer, RecordType
from millrace.filters.dnsbl import AskList, Listed

PEER = "198.41.0.4"
OURS = "4.0.41.198.list.example"


def asked(records: Any, ip: str = PEER, **options: Any) -> Listed:
    table = {(OURS, "A"): records, (OURS, "TXT"): [b"see https://list.example/\x07"]}
    return asyncio.run(AskList("list.example", **options).run(Peer(ip), FakeDns(table)))


def test_a_peer_on_the_list_is_listed_with_what_the_codes_mean() -> None:
    codes = ("127.0.0.2=sbl", "127.0.0.10/31=pbl", "127.0.0.4=xbl")
    found = asked(["127.0.0.2", "127.0.0.11"], codes=codes)
    assert found == Listed(True, ("127.0.0.2", "127.0.0.11"), ("sbl", "pbl"))


def test_a_peer_that_is_not_there_is_not_listed() -> None:
    assert asked(Answer("nxdomain")) == Listed(False)
    assert asked(Answer("nodata")) == Listed(False)


def test_only_known_codes_count_where_asked() -> None:
    assert asked(["127.0.0.9"], codes=("127.0.0.2=sbl",), only_known=True) == Listed(
        False, ("127.0.0.9",)
    )
    assert asked(["127.0.0.9"]).listed


def test_the_reason_is_asked_for_and_made_harmless() -> None:
    assert asked(["127.0.0.2"], text=True).reason == "see https://list.example/?"
    assert asked(["127.0.0.2"]).reason == ""


def test_an_answer_that_is_no_code_lists_nobody() -> None:
    # a list that has ended answers for everything, with the address of its parking lot
    assert asked(["203.0.113.80"]) == Listed(False)


@pytest.mark.parametrize(
    "answer", [Answer("timeout"), Answer("servfail"), ["127.255.255.254"], ["127.255.255.252"]]
)
def test_a_list_that_does_not_serve_us_is_unavailable(answer: Any) -> None:
    with pytest.raises(Unavailable, match=r"list list\.example"):
        asked(answer)


@pytest.mark.parametrize("ip", ["", "10.0.0.1", "127.0.0.1", "fe80::1", "192.168.1.1"])
def test_addresses_of_private_networks_are_not_asked_about(ip: str) -> None:
    dns = FakeDns()
    assert asyncio.run(AskList("list.example").run(Peer(ip), dns)) == Listed(False)
    assert dns.asked == []


@pytest.mark.parametrize("ip", ["192.0.2.7", "203.0.113.9", "2001:db8::7"])
def test_a_drill_with_an_address_for_documentation_asks_the_list(ip: str) -> None:
    dns = FakeDns()
    asyncio.run(AskList("list.example").run(Peer(ip), dns))
    assert len(dns.asked) == 1


@pytest.mark.parametrize("ip", [PEER, "2a00:1450:4001::1"])
def test_a_list_that_lists_everybody_is_unavailable(ip: str) -> None:
    class Wild(FakeDns):
        async def ask(self, name: str, kind: RecordType) -> Answer:
            return Answer("found", ("127.0.0.2",), 300)

    with pytest.raises(Unavailable, match=r"it lists everybody, (127.0.0.1|::ffff:127.0.0.1) too"):
        asyncio.run(AskList("list.example").run(Peer(ip), Wild()))


def test_who_is_listed_is_listed_though_the_list_fails_at_the_second_question() -> None:
    table = {(OURS, "A"): ["127.0.0.2"], ("1.0.0.127.list.example", "A"): Answer("timeout")}
    assert asyncio.run(AskList("list.example").run(Peer(PEER), FakeDns(table))).listed


def test_ipv6_is_asked_by_nibbles() -> None:
    dns = FakeDns()
    asyncio.run(AskList("list.example").run(Peer("2a00:1450:4001::1"), dns))
    name = "1" + ".0" * 19 + ".1.0.0.4.0.5.4.1.0.0.a.2.list.example"
    assert dns.asked == [(name, "A")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"zone": "a..b"}, "is no domain name"),
        ({"zone": "a.example", "codes": ("127.0.0.2",)}, "is not CODE=WORD"),
        ({"zone": "a.example", "codes": ("x=y",)}, "codes: "),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AskList(**options)


PIPELINE = """
[[filter]]
use = "dnsbl"
name = "zen"
zone = "list.example"
codes = ["127.0.0.2=sbl"]
[[filter]]
use = "dnsbl"
name = "other"
zone = "other.example"
"""
POLICY = """
[[weight]]
name = "zen"
when = "'sbl' in zen.meanings"
add = 3
[[rule]]
name = "both"
when = "zen.listed and other.listed"
then = "reject"
"""


def test_two_lists_stand_side_by_side_and_policies_weigh_each() -> None:
    table = {(OURS, "A"): ["127.0.0.2"], ("4.0.41.198.other.example", "A"): ["127.0.0.3"]}
    walker = Walker(plan_of(PIPELINE, POLICY, dnsbl=AskList), dns=FakeDns(table))
    assert asyncio.run(walker.greet(ip=PEER)).refuses
    only = {(OURS, "A"): ["127.0.0.2"]}
    walker = Walker(plan_of(PIPELINE, POLICY, dnsbl=AskList), dns=FakeDns(only))
    asyncio.run(walker.greet(ip=PEER))
    asyncio.run(walker.begin())
    assert not asyncio.run(walker.to()).refuses
    asyncio.run(walker.content())
    assert walker.records[0].total == 3
