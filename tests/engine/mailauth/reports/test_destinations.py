"""Who wants reports, and whether they may go there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import FakeDns

from millrace.engine.mailauth.reports.destinations import Answer, Destination, check, parse
from millrace.engine.ports import Answer as Dns

MANY = ",".join(f"mailto:{n}@b.example" for n in range(30))


@pytest.mark.parametrize(
    ("rua", "wanted"),
    [
        ("mailto:a@b.example", ["a@b.example"]),
        ("MAILTO:a@B.example., mailto:c@d.example", ["a@b.example", "c@d.example"]),
        ("mailto:a@b.example,mailto:a@b.example", ["a@b.example"]),
        ("mailto:a%2bx@b.example?subject=hi", ["a+x@b.example"]),
        ("https://b.example/dmarc, mailto:a@b.example", ["a@b.example"]),
        ("mailto:a@b, mailto:@b.example, mailto:a, mailto:, a@b.example", []),
        ("mailto:a@b.example%0d%0aBcc:c@d.example", []),
        ('mailto:"a b"@b.example', []),
        ("mailto:a@[192.0.2.1]", []),
        ("", []),
        (MANY, [f"{n}@b.example" for n in range(5)]),
    ],
)
def test_addresses_of_a_tag_are_found_and_bounded(rua: str, wanted: list[str]) -> None:
    assert [each.address for each in parse(rua)] == wanted


@pytest.mark.parametrize(
    ("written", "limit"),
    [("", 0), ("!10m", 10 << 20), ("!50K", 50 << 10), ("!1000", 1000), ("!1g", 1 << 30), ("!0", 0)],
)
def test_size_limits_are_read_in_powers_of_two(written: str, limit: int) -> None:
    assert parse(f"mailto:a@b.example{written}") == (Destination("a@b.example", limit),)


def test_destination_takes_what_is_within_its_limit() -> None:
    assert Destination("a@b.example", 100).takes(100)
    assert not Destination("a@b.example", 100).takes(101)
    assert Destination("a@b.example").takes(1 << 40)


NAME = "b.example._report._dmarc.c.example"


def answer(texts: Any, to: str = "rua@c.example", policy: str = "b.example") -> Answer:
    table: dict[Any, Any] = {("_dmarc.b.example", "TXT"): [b"v=DMARC1; p=none"]}
    if texts is not None:
        table[NAME, "TXT"] = texts
    return asyncio.run(check(policy, Destination(to), FakeDns(table)))


def test_address_of_the_own_organization_needs_no_agreement() -> None:
    assert answer(None, "rua@b.example").status == "agreed"
    assert answer(None, "rua@mail.b.example").status == "agreed"
    assert answer(None, "rua@b.example", "news.b.example").status == "agreed"


@pytest.mark.parametrize(
    ("texts", "status", "addresses"),
    [
        (None, "refused", []),
        ([b"hello"], "refused", []),
        ([b"v=DMARC2"], "refused", []),
        ([b"v=DMARC1"], "agreed", ["rua@c.example"]),
        ([b"v = DMARC1 ;", b"hello"], "agreed", ["rua@c.example"]),
        ([b"v=DMARC1; rua=mailto:big@c.example"], "agreed", ["big@c.example"]),
        ([b"v=DMARC1; rua=mailto:big@other.example"], "refused", []),
        ([b"v=DMARC1; rua=mailto:a@c.example,mailto:a@d.example"], "refused", []),
        ([b"v=DMARC1; rua=https://c.example"], "refused", []),
        (Dns("timeout"), "later", []),
        (Dns("servfail"), "later", []),
    ],
)
def test_address_elsewhere_is_used_only_when_it_agrees(
    texts: Any, status: str, addresses: list[str]
) -> None:
    found = answer(texts)
    assert found.status == status
    assert [each.address for each in found.destinations] == addresses
    assert found.why or status == "agreed"


def test_dns_trouble_on_the_way_up_means_later() -> None:
    dns = FakeDns({("_dmarc.b.example", "TXT"): Dns("timeout")})
    found = asyncio.run(check("b.example", Destination("rua@c.example"), dns))
    assert (found.status, found.why) == ("later", "DNS timeout for the policy")


def test_name_too_long_to_ask_is_refused() -> None:
    long = ".".join(["a" * 60] * 3) + ".example"
    dns = FakeDns({})
    found = asyncio.run(check(long, Destination(f"rua@{'b' * 60}.example"), dns))
    assert found.status == "refused"
    assert "too long" in found.why
