"""The rules of RFC 6376, 8301 and 8463 one by one, each on a signature made on the spot.

The signer here is written from the RFC's text, apart from the engine's canonicalization.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes import FakeDns, ManualClock

from millrace.engine.mail.message import Message
from millrace.engine.mailauth.bodyhash import hashed
from millrace.engine.mailauth.dkim import Signature, judge, read_signatures
from millrace.engine.ports import Answer
from millrace.filters.dkim import CheckDkim


def public(key: Any) -> str:
    raw = (
        key.public_key().public_bytes_raw()
        if isinstance(key, ed25519.Ed25519PrivateKey)
        else key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    return base64.b64encode(raw).decode()


NOW = 1_800_000_000
RSA = rsa.generate_private_key(65537, 1024)
ED25519 = ed25519.Ed25519PrivateKey.generate()
OTHER = ed25519.Ed25519PrivateKey.generate()
HEAD = (
    b"From: Ann <ann@a.example>",
    b"To:Bob <bob@b.example>",
    b"Subject: a \t folded\r\n\t subject ",
    b"X-Bytes: caf\xe9",
    b"X-Empty:",
    b"Received: two",
    b"Received: one",
)
BODY = b"Hello \t Bob,\t \r\n\r\n bytes \xff\r\n.\r\n\r\n\r\n"


@dataclass
class Vector:
    """One mail to be signed; `tags` replace or, when None, remove the usual ones."""

    tags: dict[str, str | None] = field(default_factory=dict)
    key: Any = ED25519
    record: str | None = None
    head: tuple[bytes, ...] = HEAD
    body: bytes = BODY
    names: str = "from:to:subject:x-bytes:x-empty:received:received:absent"
    form: str = "relaxed/relaxed"
    join: str = ";\r\n "
    above: bytes = b""
    after: bytes = b""
    texts: list[str] | None = None

    def signed(self) -> bytes:
        value = self._value()
        octets = b"".join(self._field(each) + b"\r\n" for each in self._chosen())
        octets += self._field(b"DKIM-Signature:" + value.encode())
        made = base64.b64encode(self._made(octets)).decode()
        folded = re.sub("(.{40})", r"\1\r\n  ", made)
        value = value.replace("b=@", f"b={folded}") if "b=@" in value else value + folded
        lines = b"\r\n".join(self.head)
        head = b"DKIM-Signature:" + value.encode() + b"\r\n" + self.above + lines
        return head + b"\r\n\r\n" + self.body + self.after

    def _value(self) -> str:
        algorithm = "rsa-sha256" if isinstance(self.key, rsa.RSAPrivateKey) else "ed25519-sha256"
        tags: dict[str, str | None] = {
            "v": "1", "a": algorithm, "c": self.form, "d": "a.example", "s": "k", "h": self.names,
            "bh": base64.b64encode(hashlib.sha256(self._canonical_body()).digest()).decode(),
        }  # fmt: skip
        tags |= self.tags
        listed = [f"{name}={value}" for name, value in tags.items() if value is not None]
        return " " + self.join.join([*listed, "b="])

    def _made(self, octets: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(hashlib.sha256(octets).digest())

    def _chosen(self) -> list[bytes]:
        """RFC 6376 §5.4.2: of a repeated name the last first."""
        left, found = list(self.head), []
        for name in self.names.split(":"):
            same = [
                each
                for each in left
                if each.split(b":")[0].strip().lower() == name.strip().lower().encode()
            ]
            if same:
                found.append(same[-1])
                del left[len(left) - 1 - left[::-1].index(same[-1])]
        return found

    def _field(self, line: bytes) -> bytes:
        if self.form.split("/")[0] == "simple":
            return line
        name, _, value = line.partition(b":")
        return name.strip().lower() + b":" + re.sub(rb"[ \t\r\n]+", b" ", value).strip()

    def _canonical_body(self) -> bytes:
        lines = self.body.split(b"\r\n")
        if self.form.endswith("/relaxed"):
            lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
        while lines and not lines[-1]:
            lines.pop()
        text = b"".join(line + b"\r\n" for line in lines)
        return text or (b"" if self.form.endswith("/relaxed") else b"\r\n")

    def verdict(self, now: float = NOW) -> Signature:
        record = self.record
        if record is None:
            kind = "rsa" if isinstance(self.key, rsa.RSAPrivateKey) else "ed25519"
            record = f"v=DKIM1; k={kind}; p=@"
        texts = [text.replace("@", public(self.key)) for text in self.texts or [record]]
        dns = FakeDns({("k._domainkey.a.example", "TXT"): [text.encode() for text in texts]})
        return verdict(self.signed(), dns, now)


def verdict(raw: bytes, dns: FakeDns, now: float = NOW) -> Signature:
    message = Message.parse(raw)
    unjudged = read_signatures(message.headers, now)
    bodies = hashed(message.body, [each.wish for each in unjudged if each.wish])
    return asyncio.run(judge(unjudged, message.headers, bodies, dns))[0]


FORMS = ["relaxed/relaxed", "simple/simple", "relaxed/simple", "simple/relaxed"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("body", [BODY, b"", b"\r\n\r\n", b"no end", b" \r\n\t\r\n", b"a\nb\r\n"])
def test_every_canonicalization_of_every_body_holds(form: str, key: Any, body: bytes) -> None:
    found = Vector(form=form, key=key, body=body).verdict()
    assert (found.result, found.reason) == ("pass", "")


@pytest.mark.parametrize(
    "vector",
    [
        Vector(tags={"i": "ann@a.example"}),
        Vector(tags={"i": "@A.Example"}),
        Vector(tags={"i": "=40x@sub.a.example"}),
        Vector(tags={"q": "dns/txt"}),
        Vector(tags={"q": "http/x:dns/txt"}),
        Vector(tags={"z": "From:x=20b=3Dy|To:z"}),
        Vector(tags={"unknown": "a value"}),
        Vector(tags={"t": str(NOW), "x": str(NOW + 1)}),
        Vector(form="relaxed/relaxed", tags={"d": "A.EXAMPLE", "s": "K"}),
        Vector(names="From : To:\r\n\tSubject"),
        Vector(names="from:from:to:subject"),
        Vector(names="to:subject:from"),
        Vector(join=" ; "),
        Vector(join=";"),
        Vector(record="v=DKIM1; k=ed25519; h=sha1:sha256; s=email; t=y:unknown; n=a note; p=@"),
        Vector(record="k=ed25519;p=@;"),
        Vector(record="v=DKIM1; k=ed25519; s=* ; p=@ ; g=nobody"),
        Vector(key=RSA, record="p=@"),
        Vector(texts=["v=spf1 -all", "v=DKIM1; k=ed25519; p=@"]),
        Vector(texts=[f"v=DKIM1; k=rsa; p={public(RSA)}", "v=DKIM1; k=ed25519; p=@"]),
        Vector(texts=["v=DKIM1; p=", f"v=DKIM1; k=ed25519; p={public(OTHER)}", "k=ed25519; p=@"]),
    ],
    ids=lambda vector: str(vector.tags or vector.record or vector.names)[:40],
)
def test_what_the_rfc_allows_passes(vector: Vector) -> None:
    found = vector.verdict()
    assert (found.result, found.reason) == ("pass", "")


@pytest.mark.parametrize(
    ("vector", "result"),
    [
        (Vector(tags={"v": None}), "permerror"),
        (Vector(tags={"v": "2"}), "permerror"),
        (Vector(tags={"v": "0.5"}), "permerror"),
        (Vector(tags={"a": "rsa-sha512"}), "permerror"),
        (Vector(tags={"a": "rsa-sha256"}), "permerror"),  # an Ed25519 key
        (Vector(tags={"a": None}), "permerror"),
        (Vector(tags={"d": None}), "permerror"),
        (Vector(tags={"d": ""}), "permerror"),
        (Vector(tags={"d": "a..example"}), "permerror"),
        (Vector(tags={"s": None}), "permerror"),
        (Vector(tags={"s": ""}), "permerror"),
        (Vector(tags={"bh": None}), "permerror"),
        (Vector(tags={"c": "relaxed/loose"}), "permerror"),
        (Vector(tags={"c": "Relaxed/Relaxed"}), "permerror"),  # values are case-sensitive (§3.2)
        (Vector(tags={"q": "http/x"}), "permerror"),
        (Vector(tags={"i": "ann@b.example"}), "permerror"),
        (Vector(tags={"i": "ann@xa.example"}), "permerror"),
        (Vector(tags={"l": "x"}), "permerror"),
        (Vector(tags={"l": "-1"}), "permerror"),
        (Vector(tags={"t": str(NOW), "x": str(NOW - 5)}), "permerror"),
        (Vector(tags={"x": str(NOW - 100_000)}), "fail"),
        (Vector(tags={"x": "soon"}), "permerror"),
        (Vector(names="to:subject"), "permerror"),  # From must be signed (§5.4)
        (Vector(names=""), "permerror"),
        (Vector(tags={"bh": "!"}), "permerror"),
        (Vector(tags={"bh": "AAAA"}), "fail"),
        (Vector(join=";\r\n d=twice.example; "), "permerror"),
        (Vector(after=b"more\r\n"), "fail"),
        (Vector(above=b"From: Eve <eve@e.example>\r\n"), "fail"),
        (Vector(above=b"Received: three\r\n"), "pass"),
        (Vector(above=b"Absent: now\r\n"), "fail"),
        (Vector(tags={"l": "9999"}), "fail"),
        (Vector(record="v=DKIM1; k=ed25519; p="), "permerror"),
        (Vector(record="v=DKIM2; k=ed25519; p=@"), "permerror"),
        (Vector(record="v=DKIM1; k=dsa; p=@"), "permerror"),
        (Vector(record="v=DKIM1; k=ed25519; h=sha1; p=@"), "permerror"),
        (Vector(record="v=DKIM1; k=ed25519; s=other; p=@"), "permerror"),
        (Vector(record="v=DKIM1; k=ed25519"), "permerror"),
        (Vector(record="v=DKIM1; k=ed25519; p=!!!"), "permerror"),
        (Vector(record="v=DKIM1; k=ed25519; p=AAAA"), "permerror"),
        (Vector(record="v=DKIM1; k=rsa; p=AAAA"), "permerror"),
        (Vector(record="v=DKIM1; v=DKIM1; k=ed25519; p=@"), "permerror"),
        (Vector(record="v=DKIM1; k=ed25519; t=s; p=@", tags={"i": "x@sub.a.example"}), "permerror"),
        (Vector(key=RSA, record="v=DKIM1; k=ed25519; p=@"), "permerror"),
        (Vector(texts=["p=", f"v=DKIM1; k=ed25519; p={public(OTHER)}", "words"]), "fail"),
        (Vector(texts=["words"] * 4 + ["v=DKIM1; k=ed25519; p=@"]), "permerror"),
    ],
    ids=lambda value: (
        str(value.tags or value.record or value.names or value.above)[:40]
        if isinstance(value, Vector)
        else value
    ),
)
def test_what_the_rfc_forbids_does_not_pass(vector: Vector, result: str) -> None:
    found = vector.verdict()
    assert found.result == result
    assert bool(found.reason) == (result != "pass")


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Answer("nxdomain"), "permerror"),
        (Answer("nodata"), "permerror"),
        (Answer("servfail"), "temperror"),
        (Answer("timeout"), "temperror"),
    ],
)
def test_the_four_answers_of_the_dns_stay_apart(answer: Answer, result: str) -> None:
    dns = FakeDns({("k._domainkey.a.example", "TXT"): answer})
    assert verdict(Vector().signed(), dns).result == result


def test_a_body_that_grew_behind_its_length_passes_and_is_told() -> None:
    length = len(Vector()._canonical_body())
    found = Vector(tags={"l": str(length)}, after=b"an advertisement\r\n").verdict()
    assert (found.result, found.appended) == ("pass", True)
    assert not Vector(tags={"l": str(length)}).verdict().appended


def test_sha1_and_short_keys_never_pass() -> None:
    assert Vector(key=RSA, tags={"a": "rsa-sha1"}).verdict().result == "policy"
    short = base64.b64encode(rsa_512()).decode()
    found = Vector(key=RSA, record=f"v=DKIM1; k=rsa; p={short}").verdict()
    assert (found.result, found.reason) == ("policy", "RSA key of 512 bits")


def rsa_512() -> bytes:
    """The public half of a 512-bit key, which no library makes any more."""
    numbers = rsa.RSAPublicNumbers(65537, (1 << 511) + 0x1234567)
    modulus = numbers.n.to_bytes(64, "big")
    inner = b"\x30\x48\x02\x41\x00" + modulus + b"\x02\x03\x01\x00\x01"
    return bytes.fromhex("305c300d06092a864886f70d0101010500034b00") + inner


def test_a_key_in_test_mode_is_told() -> None:
    found = Vector(record="v=DKIM1; k=ed25519; t=y; p=@").verdict()
    assert (found.result, found.testing) == ("pass", True)


def test_a_signature_that_speaks_of_b_elsewhere_is_still_read_right() -> None:
    found = Vector(tags={"z": "a b=c", "n": "x b= y"}).verdict()
    assert (found.result, found.reason) == ("pass", "")


def test_who_distrusts_lengths_gets_policy_where_the_body_goes_on() -> None:
    length = str(len(Vector()._canonical_body()))
    dns = FakeDns({("k._domainkey.a.example", "TXT"): [f"k=ed25519; p={public(ED25519)}".encode()]})

    def told(after: bytes, **options: bool) -> tuple[str, bool, tuple[str, ...]]:
        mail = Message.parse(Vector(tags={"l": length}, after=after).signed())
        found = asyncio.run(CheckDkim(**options).run(mail, dns, ManualClock(NOW)))
        return found.result, found.appended, found.domains

    assert told(b"more\r\n") == ("pass", True, ("a.example",))
    assert told(b"more\r\n", distrust_length=True) == ("policy", False, ())
    assert told(b"", distrust_length=True) == ("pass", False, ("a.example",))
