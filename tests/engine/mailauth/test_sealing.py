"""ARC sealing against the published suite, our own verifier and dkimpy's."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import dkim
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fakes import FakeDns
from suites import Suites, departures

from millrace.engine.mail.edits import field_of
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mailauth import sealing
from millrace.engine.mailauth.arc import ChainJudged, judge, read_chain
from millrace.engine.mailauth.bodyhash import hash_body
from millrace.engine.store.keyring import SigningKey

DEPARTURES = Path(__file__).with_name("departures.toml")
NAMES = (sealing.RESULTS, sealing.MESSAGE, sealing.SEAL)
MAIL = (
    b"DKIM-Signature: v=1; d=a.example\r\nFrom: Ann <ann@a.example>\r\nTo: l@lists.example\r\n"
    b"Subject: hello\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\nHello.\r\n"
)


def verified(raw: bytes, dns: FakeDns) -> ChainJudged:
    message = Message.parse(raw)
    chain = read_chain(message.headers)
    bodies = hash_body(message.body.chunks(), [chain.wish] if chain.wish else [])
    return asyncio.run(judge(chain, message.headers, bodies, dns))


def merged(headers: Headers, srv_id: str) -> str:
    """The results of one authserv-id, as the suite wants them merged."""
    values = [field.text for field in headers.all(b"Authentication-Results")]
    ours = [re.split(r";\s*", value.strip(), maxsplit=1) for value in values]
    return "; ".join([srv_id, *(rest.rstrip("; ") for name, rest in ours if name == srv_id)])


def tag(name: str, value: str) -> str:
    return dict(
        part.strip().split("=", 1) for part in re.sub(r"\s+", "", value).split(";") if "=" in part
    ).get(name, "")


def difference(case: dict[str, Any], key: SigningKey, dns: FakeDns) -> str:
    raw = re.sub(rb"(?<!\r)\n", b"\r\n", case["message"].encode())
    message = Message.parse(raw)
    (body,) = hash_body(message.body.chunks(), [sealing.BODY]).values()
    names = [name.encode() for name in case["sig-headers"].split(":")]
    made = sealing.sealed(
        message.headers, body, merged(message.headers, case["srv-id"]), verified(raw, dns).result,
        key, float(case["t"]), names,
    )  # fmt: skip
    if made is None:
        return "" if not case["AS"] else "no set was made"
    wanted = (case["AAR"], case["AMS"], case["AS"])
    if re.sub(r"\s", "", made.results) != re.sub(r"\s", "", wanted[0]):
        return f"AAR {made.results}"
    pairs = ((made.message, wanted[1], ("b", "bh")), (made.seal, wanted[2], ("b",)))
    for ours, theirs, names_ in pairs:
        for name in names_:
            if tag(name, ours) != tag(name, theirs):
                return f"{name}= differs in {ours}"
    return ""


@pytest.mark.data
def test_the_published_sealing_suite_passes_bit_by_bit(shared_data: Path, suites: Suites) -> None:
    wrong, total = {}, 0
    text = (shared_data / "arc" / "arc-draft-sign-tests.yml").read_text()
    for scenario in filter(None, yaml.safe_load_all(text)):
        private = serialization.load_pem_private_key(scenario["privatekey"].encode(), None)
        assert isinstance(private, rsa.RSAPrivateKey)
        key = SigningKey(scenario["domain"], scenario["sel"], private)
        records = scenario["txt-records"] or {}
        dns = FakeDns({(name, "TXT"): [text.encode()] for name, text in records.items()})
        for name, case in scenario["tests"].items():
            total += 1
            said = difference(case, key, dns)
            if said:
                wrong[name] = said
    assert total == 17
    suites.hold("ARC sealing", total, wrong, departures(DEPARTURES, "ARC sealing"))


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey("lists.example", "k", rsa.generate_private_key(65537, 2048))


def published(key: SigningKey) -> FakeDns:
    return FakeDns({(key.name, "TXT"): [key.record.encode()]})


def handed_on(raw: bytes, key: SigningKey) -> bytes:
    """The mail with one more set, by what is found of its chain."""
    message = Message.parse(raw)
    (body,) = hash_body(message.body.chunks(), [sealing.BODY]).values()
    cv = verified(raw, published(key)).result
    made = sealing.sealed(message.headers, body, "mx.example; spf=pass", cv, key, 1_795_000_000.0)
    if made is None:
        return raw
    fields = [field_of(name, value) for name, value in zip(NAMES, made, strict=True)]
    return Headers(reversed(fields)).raw + raw


def theirs(raw: bytes, key: SigningKey) -> Any:
    def texts(name: bytes, timeout: float = 5) -> bytes:
        return key.record.encode()

    return dkim.ARC(raw).verify(dnsfunc=texts)[0]


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_chain_that_we_seal_holds_for_us_and_for_dkimpy(key: SigningKey, hops: int) -> None:
    raw = MAIL
    for _ in range(hops):
        raw = handed_on(raw, key)
    assert verified(raw, published(key)) == ChainJudged("pass", ("lists.example",) * hops)
    assert theirs(raw, key) == dkim.CV_Pass


def test_chain_that_dkimpy_began_is_gone_on_with(key: SigningKey) -> None:
    private = key.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    results = b"Authentication-Results: lists.example; spf=pass smtp.mailfrom=ann@a.example\r\n"
    fields = dkim.arc_sign(results + MAIL, b"k", b"lists.example", private, b"lists.example")
    raw = handed_on(b"".join(fields) + MAIL, key)
    assert verified(raw, published(key)).result == "pass"
    assert theirs(raw, key) == dkim.CV_Pass


def test_broken_chain_is_sealed_as_failed_once(key: SigningKey) -> None:
    broken = handed_on(MAIL, key).replace(b"Hello.", b"Hallo.")
    ended = handed_on(broken, key)
    assert b"cv=fail" in ended
    assert verified(ended, published(key)).result == "fail"
    assert handed_on(ended, key) == ended


def test_fifty_sets_are_the_most_that_a_chain_has(key: SigningKey) -> None:
    raw = b"ARC-Seal: i=50; cv=pass\r\n" + MAIL
    assert handed_on(raw, key) == raw
    raw = b"ARC-Seal: cv=pass; i = 49 \r\n" + MAIL
    assert b"i=50;" in handed_on(raw, key)


@pytest.mark.parametrize("added", [b"From: eve@e.example", b"Subject: other"])
def test_what_readers_see_cannot_be_changed_under_the_seal(key: SigningKey, added: bytes) -> None:
    raw = handed_on(MAIL, key)
    assert verified(added + b"\r\n" + raw, published(key)).result == "fail"
