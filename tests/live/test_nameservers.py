"""Our resolver before a real validating one, and a real authority behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live.nameservers import NameServers

from millrace.engine.net.resolver import StubResolver
from millrace.engine.ports import Answer, RecordType


@pytest.fixture(scope="module")
def servers(new_folder: Callable[[str], Path]) -> Iterator[NameServers]:
    made = NameServers(new_folder("nameservers"))
    try:
        yield made.start()
    finally:
        made.stop()


def asked(name: str, kind: RecordType, *servers: str) -> Answer:
    async def ask() -> Answer:
        resolver = StubResolver(servers, 5, 2, overall=20)
        try:
            return await resolver.lookup(name, kind)
        finally:
            await resolver.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("name", "kind", "records"),
    [
        ("plain.example", "A", ("192.0.2.7",)),
        ("plain.example", "AAAA", ("2001:db8::7",)),
        ("plain.example", "MX", ((10, "mail.plain.example"),)),
        ("plain.example", "TXT", (b"v=spf1 ip4:192.0.2.7 -all",)),
        ("plain.example", "NS", ("ns.plain.example",)),
        ("7.2.0.192.in-addr.arpa", "PTR", ("mail.plain.example",)),
        ("one.plain.example", "CNAME", ("two.plain.example",)),
        ("one.plain.example", "A", ("192.0.2.7",)),
    ],
)
def test_record_of_each_type_comes_through(servers, name, kind, records):
    answer = asked(name, kind, servers.address)
    assert (answer.status, answer.records, answer.secure) == ("found", records, False)


def test_start_of_authority_is_read_with_its_numbers(servers):
    (soa,) = asked("plain.example", "SOA", servers.address).records
    assert soa == ("ns.plain.example", "hostmaster.plain.example", 1, 3600, 600, 86400, 77)


def test_shortest_life_of_an_alias_chain_counts(servers):
    assert 50 <= asked("one.plain.example", "A", servers.address).ttl <= 60


def test_thirty_long_texts_come_over_tcp(servers):
    async def ask() -> tuple[Answer, int]:
        resolver = StubResolver([servers.address], 5)
        answer = await resolver.lookup("many.plain.example", "TXT")
        await resolver.close()
        return answer, resolver.upstreams[0].counters.outcomes["tcp"]

    answer, over_tcp = asyncio.run(ask())
    assert sorted(text[:2] for text in answer.texts) == [b"%02d" % n for n in range(30)]
    assert over_tcp == 1


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("nowhere.plain.example", "A", "nxdomain"),
        ("mail.plain.example", "MX", "nodata"),
        ("b.empty.plain.example", "A", "nodata"),
    ],
)
def test_absence_lasts_as_long_as_the_zone_says(servers, name, kind, status):
    answer = asked(name, kind, servers.address)
    assert answer.status == status
    assert 60 <= answer.ttl <= 77


def test_signed_domain_is_secure_in_what_it_has_and_has_not(servers):
    for name, kind, status in [
        ("signed.example", "A", "found"),
        ("_25._tcp.mail.signed.example", "TLSA", "found"),
        ("nowhere.signed.example", "A", "nxdomain"),
        ("mail.signed.example", "MX", "nodata"),
    ]:
        answer = asked(name, kind, servers.address)
        assert (answer.status, answer.secure) == (status, True), name


def test_signature_that_does_not_fit_is_a_failure(servers):
    assert asked("bogus.example", "A", servers.address) == Answer("servfail")
    straight = asked("bogus.example", "A", f"127.0.0.1:{servers.authority}")
    assert straight.records == ("192.0.2.66",)  # the authority itself does not validate


def test_authority_itself_answers_without_the_validated_bit(servers):
    answer = asked("signed.example", "A", f"127.0.0.1:{servers.authority}")
    assert (answer.status, answer.secure) == ("found", False)
    assert asked("elsewhere.test", "A", f"127.0.0.1:{servers.authority}") == Answer("servfail")


def test_server_that_is_killed_is_left_for_the_second(servers, new_folder):
    doomed = NameServers(new_folder("doomed")).start()

    async def walk() -> tuple[Answer, Answer, int]:
        resolver = StubResolver([doomed.address, servers.address], 2)
        before = await resolver.lookup("plain.example", "A")
        await asyncio.to_thread(doomed.stop)
        after = await resolver.lookup("mail.plain.example", "A")
        await resolver.close()
        return before, after, resolver.upstreams[0].counters.failovers

    before, after, failovers = asyncio.run(walk())
    assert (before.status, after.status, failovers) == ("found", "found", 1)
