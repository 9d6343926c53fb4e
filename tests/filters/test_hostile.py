"""Hostile signatures, records and results: every filter answers in its words, and in time.

Each kind is mutated as often as MILLRACE_MUTATIONS says; CI does ten thousand of each.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from fakes import FakeDns, ManualClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace.engine.mail.address import Address
from millrace.engine.mail.author import Author
from millrace.engine.mail.edits import field_of
from millrace.engine.mail.envelope import Envelope, Sender
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Peer
from millrace.engine.mail.verdict import Verdict
from millrace.engine.mailauth.bodyhash import hash_body
from millrace.engine.mailauth.results import Results, read
from millrace.engine.mailauth.sealing import BODY, MESSAGE, RESULTS, SEAL, sealed
from millrace.engine.mailauth.signing import FIELD, signature
from millrace.engine.ports import Answer
from millrace.engine.store.keyring import SigningKey
from millrace.filters.arc import CheckArc
from millrace.filters.dkim import CheckDkim, Dkim
from millrace.filters.dmarc import AlignDmarc
from millrace.filters.spf import CheckSpf, Spf
from millrace.filters.stamp import Stamp
from millrace.filters.upstream import BelieveUpstream

MUTATIONS = int(os.environ.get("MILLRACE_MUTATIONS", "10000" if os.environ.get("CI") else "300"))
HOSTILE = settings(
    max_examples=MUTATIONS, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
SPF = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
DKIM = {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
DMARC = {"none", "pass", "fail", "temperror", "permerror"}
SECONDS = 1.0  # of processor time for one mail, far above what the slowest takes
PEER, SENDER = Peer("192.0.2.7"), Sender(Address("ann", "a.example"))
RSA = SigningKey("a.example", "r", rsa.generate_private_key(65537, 1024))
ED25519 = SigningKey("a.example", "e", ed25519.Ed25519PrivateKey.generate())
PIECES = [
    b"", b";", b"=", b":", b",", b" ", b"\t", b"\r\n ", b"\r\n\t", b"\0", b"\xff",
    b"\xc3\xa9", b'"', b"(", b")", b"\\", b"%", b"%{", b"}", b"%{d}", b"%{p}", b"/", b"//",
    b"@", b".", b"..", b"*", b"!", b"-", b"+", b"0", b"1", b"99999999999999999999", b"-1",
    b"v=1", b"v=DMARC1", b"v=spf1 ", b"a=", b"b=", b"bh=", b"h=", b"l=", b"i=", b"t=y:s",
    b"x=", b"k=", b"p=", b"include:a.example", b" redirect=a.example", b"sp=", b"np=",
    b"psd=y", b"cv=", b"from:", b"spf=pass ", b"reason=", b"header.d=", b"x" * 70,
    b"A" * 400, b" " * 250,
]  # fmt: skip
CUTS = st.lists(
    st.tuples(st.integers(0, 4095), st.sampled_from([0, 0, 1, 2, 9, 80]), st.sampled_from(PIECES)),
    min_size=1,
    max_size=5,
)


def mutated(octets: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    """Replace some octets, here and there, by others."""
    for place, length, piece in cuts:
        at = place % (len(octets) + 1)
        octets = octets[:at] + piece + octets[at + length :]
    return octets


@contextmanager
def in_time() -> Iterator[None]:
    """CPU of this thread; the collector's rounds over all tests' objects are not the filter's."""
    gc.disable()
    begin = time.thread_time()
    try:
        yield
        assert time.thread_time() - begin < SECONDS
    finally:
        gc.enable()


def signed() -> Message:
    """A mail with two signatures and one ARC set."""
    mail = Message.parse(b"From: Ann <ann@a.example>\r\nSubject: hello\r\n\r\nHello.\r\n")
    (body,) = hash_body(mail.body.chunks(), [BODY]).values()
    fields = [field_of(FIELD, signature(mail.headers, body, k, 1.0)) for k in (RSA, ED25519)]
    made = sealed(mail.headers, body, "mx.a.example; spf=pass", "none", RSA, 1.0)
    assert made is not None
    fields += map(field_of, (RESULTS, MESSAGE, SEAL), made)
    return Message(Headers([*fields, *mail.headers]), mail.body)


SIGNED = signed()
KEYS = {(key.name, "TXT"): [key.record.encode()] for key in (RSA, ED25519)}


def judged(mail: Message, keys: Any) -> tuple[str, str]:
    """What dkim and arc say of a mail."""
    dns = FakeDns(keys)
    with in_time():
        found = asyncio.run(CheckDkim().run(mail, dns, ManualClock()))
        chain = asyncio.run(CheckArc(("a.example",)).run(mail, dns))
    assert {found.result, *(s.result for s in found.signatures)} <= DKIM
    assert chain.result in {"none", "pass", "fail"}
    return found.result, chain.result


def test_the_mail_that_is_mutated_passes_as_it_is() -> None:
    assert judged(SIGNED, KEYS) == ("pass", "pass")


@HOSTILE
@given(CUTS)
def test_mutated_signatures_and_seals_are_judged(cuts: list[tuple[int, int, bytes]]) -> None:
    raw = SIGNED.headers.raw
    judged(Message.parse(mutated(raw, cuts) + b"\r\nHello.\r\n"), KEYS)


RECORDS: dict[str, tuple[bytes, ...]] = {
    "spf": (
        b"v=spf1 a mx:%{d2} ip4:192.0.2.0/24 ip6:2001:db8::/32 include:b.example -all "
        b"exp=w.a.example",
        b"v=spf1 exists:%{ir}.%{l1r-}.%{v}.a.example ptr:%{p} ~all redirect=b.example",
    ),
    "key": (RSA.record.encode(), ED25519.record.encode(), b"v=DKIM1; k=rsa; h=sha256; t=s; p="),
    "dmarc": (b"v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; rua=mailto:a@b.example; t=y",),
}


def told_of_spf(record: bytes) -> None:
    table = {("a.example", "TXT"): [record], ("w.a.example", "TXT"): [record],
             ("b.example", "TXT"): [b"v=spf1 include:a.example ?all"]}  # fmt: skip
    filter_ = CheckSpf(helo=True)
    with in_time():
        found = asyncio.run(
            filter_.run(PEER, Helo("a.example"), SENDER, FakeDns(table), ManualClock())
        )
    assert found.result in SPF
    assert found.helo in SPF


def told_of_dmarc(record: bytes) -> None:
    dns = FakeDns({("_dmarc.a.example", "TXT"): [record], ("_dmarc.example", "TXT"): [record]})
    author = Author.of(Headers([(b"From", b"x@sub.a.example")]))
    with in_time():
        found = asyncio.run(AlignDmarc().run(author, Spf("none", "mfrom", ""), Dkim("none"), dns))
    assert found.result in DMARC
    assert found.policy in {"none", "quarantine", "reject"}


def told_of_key(record: bytes) -> None:
    judged(SIGNED, {name: [record] for name in KEYS})


TOLD: dict[str, Callable[[bytes], None]] = {
    "spf": told_of_spf, "key": told_of_key, "dmarc": told_of_dmarc,
}  # fmt: skip
KINDS = [(kind, record) for kind, records in RECORDS.items() for record in records]


@HOSTILE
@given(st.sampled_from(KINDS), CUTS)
def test_mutated_records_are_judged(
    kind: tuple[str, bytes], cuts: list[tuple[int, int, bytes]]
) -> None:
    TOLD[kind[0]](mutated(kind[1], cuts))


RESULT = (
    b' mx.a.example 1; spf=pass (sure) smtp.mailfrom="a b"@a.example;'
    b' dkim=fail reason="bad; body"\r\n'
    b"\theader.d=a.example header.b=12345678; dmarc=pass header.from=a.example; arc=none"
)
RELAY = BelieveUpstream(("192.0.2.0/24",), ("mx.a.example",))


def told_of_results(value: bytes) -> None:
    headers = Headers([(b"Authentication-Results", value)])
    asks: list[Any] = [None] * 6
    with in_time():
        found = read(value)
        told = RELAY.run(PEER, headers)
        Stamp("mx.a.example").run(PEER, None, Verdict(), Envelope("1", SENDER, ()), headers, *asks)
    assert found is None or isinstance(found, Results)
    assert {told.spf, told.dkim, told.dmarc, told.arc} <= SPF | DKIM | {""}


@HOSTILE
@given(CUTS)
def test_mutated_results_are_read_or_left(cuts: list[tuple[int, int, bytes]]) -> None:
    told_of_results(mutated(RESULT, cuts))


def huge_key(modulus: int, exponent: int) -> bytes:
    """A key record with a modulus and an exponent of so many bits."""

    def der(tag: int, content: bytes) -> bytes:
        size = len(content)
        long = size.to_bytes(4, "big").lstrip(b"\0")
        length = bytes([size]) if size < 128 else bytes([0x80 | len(long)]) + long
        return bytes([tag]) + length + content

    numbers = [(1 << (bits - 1)) | 1 for bits in (modulus, exponent)]
    integers = b"".join(der(2, b"\0" + n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers)
    kind = bytes.fromhex("300d06092a864886f70d0101010500")
    whole = der(0x30, kind + der(3, b"\0" + der(0x30, integers)))
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(whole)


def with_field(value: bytes, more: int = 0) -> Message:
    fields = [(b"DKIM-Signature", value), (b"From", b" ann@a.example")]
    return Message.parse(Headers([*fields, *[(b"X", b" y")] * more]).raw + b"\r\nHello.\r\n")


TAGS = b" v=1; a=rsa-sha256; d=a.example; s=r; bh=AAAA; b=AAAA; h="


@pytest.mark.parametrize(
    "mail",
    [
        with_field(TAGS + b"from" + b" " * 20_000 + b":to"),
        with_field(TAGS + b"x:" * 4000 + b"from", 4000),
        with_field(TAGS + b"from; " + b"q=" * 30_000),
        with_field(TAGS + b"from; l=" + b"9" * 5000),
        with_field(TAGS + b"from; c=relaxed/relaxed;" + b"\r\n " * 3000),
        Message.parse(SIGNED.headers.raw + b"\r\n" + b" " * 100_000 + b"x\r\n"),
        Message.parse(SIGNED.headers.raw * 200 + b"\r\nHello.\r\n"),
    ],
    ids=range(7),
)
def test_mails_that_are_known_to_burn_time_are_judged_in_time(mail: Message) -> None:
    judged(mail, KEYS)


@pytest.mark.parametrize(
    ("modulus", "exponent"), [(1024, 16_384), (65_536, 17), (8192, 4096), (24_000, 24_000)]
)
def test_keys_that_are_known_to_burn_time_are_refused_in_time(modulus: int, exponent: int) -> None:
    record = huge_key(modulus, exponent)
    assert "pass" not in judged(SIGNED, {name: [record] for name in KEYS})


def test_key_whose_asn1_is_wrong_inside_is_no_key() -> None:
    head, _, encoded = RSA.record.encode().partition(b"p=")
    der = base64.b64decode(encoded).replace(b"\x05\x00", b"\x05\x01")
    record = head + b"p=" + base64.b64encode(der)
    assert judged(SIGNED, {name: [record] for name in KEYS}) == ("permerror", "fail")


@pytest.mark.parametrize(
    "record",
    [
        b"v=spf1 " + b"x=y " * 15_000,
        b"v=spf1 " + b"ip4:1.2.3.4 " * 340,
        b"v=spf1 exists:" + b"%{i}." * 700 + b"a.example",
        b"v=spf1 a:" + b"a" * 3000 + b"!.x-",
        b"v=spf1 " + b"include:b.example " * 200,
        b"v=spf1 " + b"%{d99999999}" * 300,
        b"v=spf1 redirect=a.example",
    ],
    ids=range(7),
)
def test_spf_records_that_are_known_to_burn_time_are_judged_in_time(record: bytes) -> None:
    told_of_spf(record)


def test_includes_that_lead_ever_deeper_come_to_an_end() -> None:
    table: dict[Any, Any] = {
        (f"n{n}.example", "TXT"): [b"v=spf1 include:n%d.example ?all" % (n + 1)] for n in range(99)
    }
    table["a.example", "TXT"] = [b"v=spf1 include:n0.example"]
    dns = FakeDns(table)
    found = asyncio.run(CheckSpf().run(PEER, None, SENDER, dns, ManualClock()))
    assert found.result == "permerror"
    assert len(dns.asked) < 20


def test_dns_that_fails_in_every_way_is_a_temporary_error() -> None:
    for status in ("servfail", "timeout"):
        table = {("a.example", "TXT"): Answer(status)}  # type: ignore[arg-type]
        found = asyncio.run(CheckSpf().run(PEER, None, SENDER, FakeDns(table), ManualClock()))
        assert found.result == "temperror"
