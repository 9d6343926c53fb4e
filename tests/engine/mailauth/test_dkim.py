"""DKIM verification against published messages and keys."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from fakes import FakeDns
from suites import Suites, departures

from millrace.engine.mail.headers import Field
from millrace.engine.mail.message import Message
from millrace.engine.mailauth.bodyhash import BodyHashing, hash_body
from millrace.engine.mailauth.dkim import Signature, judge, read_signatures, whole
from millrace.engine.mailauth.headerhash import chosen, signed_octets
from millrace.engine.ports import Answer

NOW = 1_800_000_000.0
DEPARTURES = Path(__file__).with_name("departures.toml")


def verify(raw: bytes, dns: FakeDns, now: float = NOW) -> tuple[Signature, ...]:
    message = Message.parse(raw)
    unjudged = read_signatures(message.headers, now)
    bodies = hash_body(message.body.chunks(), {u.wish for u in unjudged if u.wish})
    return asyncio.run(judge(unjudged, message.headers, bodies, dns))


def keys(data: dict[str, Any]) -> FakeDns:
    table: dict[Any, Any] = {}
    for name, record in data.items():
        question = (name.lower().rstrip("."), "TXT")
        if "txt" in record:
            texts = record["txt"] if isinstance(record["txt"], list) else [record["txt"]]
            table[question] = [text.encode("utf-8", "surrogateescape") for text in texts]
        else:
            table[question] = Answer(record["rcode"])
    return FakeDns(table)


def as_sent(entry: dict[str, Any], folder: Path) -> bytes:
    raw = (folder / entry["file"]).read_bytes()
    if entry["eol"] == "lf":
        raw = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    return raw


SOURCES = {
    "rfc": "DKIM, RFC 8463",
    "dkimpy": "DKIM, dkimpy",
    "mail-dkim": "DKIM, Mail::DKIM",
    "signed": "DKIM, signed by dkimpy",
}


@pytest.mark.data
@pytest.mark.parametrize(
    ("source", "count"), [("rfc", 2), ("dkimpy", 11), ("mail-dkim", 33), ("signed", 118)]
)
def test_published_signed_messages_are_judged_as_a_verifier_of_today_must(
    shared_data: Path, suites: Suites, source: str, count: int
) -> None:
    folder = shared_data / "dkim"
    listed = json.loads((folder / "index.json").read_text())
    entries = [entry for entry in listed if entry["file"].startswith(source + "/")]
    wrong = {}
    for entry in entries:
        signatures = verify(as_sent(entry, folder), keys(entry["dns"]))
        said, wanted = whole(signatures), entry["modern"]
        fits = wanted is None or said == wanted or (wanted == "not pass" and said != "pass")
        if not fits:
            wrong[entry["file"]] = f"wants {wanted}, got {said} {signatures}"
    assert len(entries) == count
    suites.hold(SOURCES[source], count, wrong, departures(DEPARTURES, SOURCES[source]))


def reference(raw: bytes, number: int, dns: FakeDns) -> bool:
    """dkimpy's own verdict over one signature, from the raw mail on."""

    def texts(name: bytes, timeout: float = 5) -> bytes:
        found = dns.table.get((name.decode().rstrip("."), "TXT"))
        return b"" if found is None or isinstance(found, Answer) else b"".join(found)

    try:
        return bool(dkim.DKIM(raw, minkey=1024).verify(number, dnsfunc=texts))
    except (dkim.DKIMException, ValueError, IndexError):
        return False


@pytest.mark.data
def test_every_published_signature_is_judged_as_dkimpy_judges_it(shared_data: Path) -> None:
    folder = shared_data / "dkim"
    different, judged = [], 0
    for entry in json.loads((folder / "index.json").read_text()):
        raw, dns = as_sent(entry, folder), keys(entry["dns"])
        for number, signature in enumerate(verify(raw, dns)):
            # what an RFC newer than dkimpy's arithmetic forbids is told apart below
            if signature.result in ("policy", "temperror") or "t=s" in signature.reason:
                continue
            judged += 1
            if (signature.result == "pass") != reference(raw, number, dns):
                different.append(f"{entry['file']}: {signature}")
    assert judged > 120
    assert different == []


def signed_by_hand(names: bytes) -> tuple[bytes, FakeDns]:
    """A mail with an Ed25519 signature over these names, and the DNS that holds the key."""
    key = ed25519.Ed25519PrivateKey.generate()
    mail = Message.parse(b"From: Ann <ann@a.example>\r\nSubject: hello\r\n\r\nHello.\r\n")
    (body,) = hash_body(mail.body.chunks(), [BodyHashing("relaxed", "sha256")]).values()
    tags = b" v=1; a=ed25519-sha256; c=relaxed/relaxed; d=a.example; s=k; h=%b; bh=%b; b=" % (
        names,
        base64.b64encode(body.digest),
    )
    field = Field(b"DKIM-Signature", tags)
    octets = signed_octets(chosen(mail.headers, names.split(b":")), field, "relaxed")
    value = tags + base64.b64encode(key.sign(hashlib.sha256(octets).digest()))
    public = base64.b64encode(key.public_key().public_bytes_raw())
    dns = FakeDns({("k._domainkey.a.example", "TXT"): [b"v=DKIM1; k=ed25519; p=" + public]})
    return b"DKIM-Signature:" + value + b"\r\n" + bytes(mail), dns


def test_a_second_author_above_the_signed_one_breaks_the_signature() -> None:
    raw, dns = signed_by_hand(b"from:subject")
    assert whole(verify(raw, dns)) == "pass"
    assert whole(verify(b"From: Eve <eve@evil.example>\r\n" + raw, dns)) == "fail"


def test_a_signature_that_leaves_the_author_out_is_none() -> None:
    raw, dns = signed_by_hand(b"subject")
    (signature,) = verify(raw, dns)
    assert (signature.result, signature.reason) == ("permerror", "From is not signed")
