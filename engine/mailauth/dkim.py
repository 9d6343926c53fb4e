"""DKIM: who signed this mail, and do the signatures still hold?

RFC 6376, RFC 8301 (algorithms), RFC 8463 (Ed25519), RFC 8601 §2.7.1 (words).

Three steps, so that a caller may hash a long body where it blocks nobody:
`read_signatures(headers)` → `hashed(body, wishes)` → `await judge(…)`.

dkimpy reads and validates tags and keys; what is hashed is put together here, at half its
cost, and without the line of blanks that makes it burn seconds when it is fed raw mail.
A test holds both to the same answers.  Everything that a sender chooses is bounded first.

Gives:  one result for each signature, from the top down.
Fails:  never; what cannot be judged is "permerror" or "policy" with a reason.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import dkim

from millrace.engine.mail.address import DomainName
from millrace.engine.mail.headers import Field, Headers
from millrace.engine.mailauth.bodyhash import BodyHashing, Canonicalization, Hashed
from millrace.engine.mailauth.dkimkeys import Key, read_key
from millrace.engine.mailauth.domains import ascii_domain, is_under
from millrace.engine.mailauth.headerhash import chosen, signed_octets
from millrace.engine.ports import Answer, Dns

DkimResult = Literal["none", "pass", "fail", "policy", "neutral", "temperror", "permerror"]
RECORDS_MAX = 4  # of one key's name
SIGNATURES_MAX = 8
SIGNATURE_OCTETS = 8192
BLANKS_MAX = 200  # in a row; `h=` with 20,000 of them costs dkimpy half a second
NAMES_MAX = 200  # in h=
FIELDS_MAX = 1000
MARK = 8  # characters of b=, RFC 6008 §4
CLOCK_LEEWAY = 36000.0  # seconds that a signer's clock may be ahead
_BLANK = re.compile(rb"[ \t\r\n]+")
_BLANKS = re.compile(rb"[ \t\r\n]{%d}" % BLANKS_MAX)
_ORDER: dict[DkimResult, int] = {
    "pass": 0,
    "temperror": 1,
    "fail": 2,
    "policy": 3,
    "permerror": 4,
    "neutral": 5,
    "none": 6,
}

_FURTHER: Mapping[str, int] = {"permerror": 0, "policy": 1, "fail": 2}


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature, judged.  `testing` is the key's t=y.

    `covers` is the signed part of the body in octets (`l=`), -1 for all of it; `appended`
    says that there is more body than was signed.  `mark` is how `b=` begins (RFC 6008).
    """

    result: DkimResult
    domain: DomainName
    selector: str
    algorithm: str
    bits: int = 0
    reason: str = ""
    identity: str = ""
    covers: int = -1
    appended: bool = False
    testing: bool = False
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Unjudged:
    """One signature as it was read: the tags, and what its body hash needs."""

    field: Field
    tags: Mapping[bytes, bytes]
    signature: Signature
    wish: BodyHashing | None


def whole(signatures: tuple[Signature, ...]) -> DkimResult:
    """The result of the mail: the best of its signatures."""
    return min((s.result for s in signatures), key=_ORDER.__getitem__, default="none")


def read_signatures(headers: Headers, now: float) -> tuple[Unjudged, ...]:
    """Read the signature fields; what is hopeless is judged at once (its `wish` is None)."""
    fields = headers.all(b"DKIM-Signature")
    if fields and len(headers) > FIELDS_MAX:
        none = Signature("policy", "", "", "", reason=f"more than {FIELDS_MAX} header fields")
        return (Unjudged(fields[0], {}, none, None),)
    return tuple(_read(entry, now) for entry in fields[:SIGNATURES_MAX])


def _read(entry: Field, now: float) -> Unjudged:
    if len(entry.value) > SIGNATURE_OCTETS or _BLANKS.search(entry.value):
        return _hopeless(entry, "signature field too long")
    try:
        tags = _tag_list(entry.value)
    except dkim.util.InvalidTagValueList as error:
        return _hopeless(entry, f"no tag list: {error}")
    signature = Signature(
        "none",
        _text(tags.get(b"d")).lower(),
        _text(tags.get(b"s")),
        _text(tags.get(b"a")),
        identity=_text(tags.get(b"i")),
        mark=_text(_BLANK.sub(b"", tags.get(b"b", b""))[:MARK]),
    )
    try:
        wish = _wish(tags)
        _validate(tags, now)
    except _Refused as refused:
        judged = replace(signature, result=refused.result, reason=refused.reason)
        return Unjudged(entry, tags, judged, None)
    if wish.length is not None:
        signature = replace(signature, covers=wish.length)
    return Unjudged(entry, tags, signature, wish)


def _hopeless(entry: Field, reason: str) -> Unjudged:
    return Unjudged(entry, {}, Signature("permerror", "", "", "", reason=reason), None)


# each signature is read twice: for the hashes that it wants, and to be judged
_tag_list: Callable[[bytes], Mapping[bytes, bytes]]
_tag_list = functools.lru_cache(64)(dkim.util.parse_tag_value)


class _Refused(Exception):
    def __init__(self, result: DkimResult, reason: str) -> None:
        super().__init__(reason)
        self.result, self.reason = result, reason


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _validate(tags: Mapping[bytes, bytes], now: float) -> None:
    """RFC 6376 §6.1.1, in its order; times are held against the given clock."""
    ours = {key: value for key, value in tags.items() if key not in (b"t", b"x", b"q")}
    try:
        dkim.validate_signature_fields(ours)
    except (dkim.DKIMException, ValueError, IndexError, TypeError) as error:
        raise _Refused("permerror", str(error)) from None
    methods = {method.strip() for method in tags.get(b"q", b"dns/txt").split(b":")}
    if not methods & {b"dns/txt", b"dns"}:
        raise _Refused("permerror", "the key is not asked for by DNS (q=)")
    if tags[b"h"].count(b":") >= NAMES_MAX:
        raise _Refused("permerror", f"h= names more than {NAMES_MAX} fields")
    names = {name.strip().lower() for name in tags[b"h"].split(b":")}
    if b"from" not in names:
        raise _Refused("permerror", "From is not signed")
    if not ascii_domain(_text(tags[b"d"])) or not ascii_domain(_text(tags[b"s"])):
        raise _Refused("permerror", "d= or s= is no domain name")
    _validate_times(tags, now)


def _validate_times(tags: Mapping[bytes, bytes], now: float) -> None:
    made, expires = _seconds(tags.get(b"t")), _seconds(tags.get(b"x"))
    if made is not None and made > now + CLOCK_LEEWAY:
        raise _Refused("permerror", "signed in the future")
    if expires is None:
        return
    if made is not None and expires < made:
        raise _Refused("permerror", "x= lies before t=")
    if expires < now:
        raise _Refused("fail", "signature expired")


def _seconds(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or len(value) > 12:
        raise _Refused("permerror", "t= or x= is no time")
    return int(value)


def _wish(tags: Mapping[bytes, bytes]) -> BodyHashing:
    header, _, body = tags.get(b"c", b"simple/simple").partition(b"/")
    body = body or b"simple"  # RFC 6376 §3.5: one word stands for the header alone
    if header not in (b"simple", b"relaxed") or body not in (b"simple", b"relaxed"):
        raise _Refused("permerror", "unknown canonicalization (c=)")
    length = tags.get(b"l")
    if length is not None and not (length.isdigit() and len(length) <= 76):
        raise _Refused("permerror", "l= is no number")
    return BodyHashing(
        cast("Canonicalization", body.decode()), "sha256", None if length is None else int(length)
    )


def wishes(headers: Headers) -> set[BodyHashing]:
    """The body hashes that the signatures will ask for, before anything else is judged."""
    found = set()
    for entry in headers.all(b"dkim-signature")[:SIGNATURES_MAX]:
        with contextlib.suppress(dkim.util.InvalidTagValueList, _Refused):
            if len(entry.value) <= SIGNATURE_OCTETS and not _BLANKS.search(entry.value):
                found.add(_wish(_tag_list(entry.value)))
    return found


async def judge(
    unjudged: tuple[Unjudged, ...],
    headers: Headers,
    bodies: Mapping[BodyHashing, Hashed],
    dns: Dns,
) -> tuple[Signature, ...]:
    """Ask for the keys, all at once, and judge every signature."""
    names = [f"{ascii_domain(u.signature.selector)}._domainkey.{ascii_domain(u.signature.domain)}"
             for u in unjudged if u.wish]  # fmt: skip
    answers = iter(await dns.ask_all([(name, "TXT") for name in names]))
    return tuple(
        each.signature
        if each.wish is None
        else _judged(each, next(answers), headers, bodies[each.wish])
        for each in unjudged
    )


def _judged(each: Unjudged, answer: Answer, headers: Headers, body: Hashed) -> Signature:
    """Try the records in turn; of those that do not fit, the one that came furthest tells why.

    RFC 6376 §3.6.2.2 leaves several records open; some publish one for each kind of key.
    """
    if answer.failed:
        reason = f"DNS {answer.status} for the key"
        return replace(each.signature, result="temperror", reason=reason)
    best: Signature | None = None
    for record in answer.texts[:RECORDS_MAX]:
        found = _by_record(each, record, headers, body)
        if found.result == "pass":
            return found
        if best is None or _FURTHER[found.result] > _FURTHER[best.result]:
            best = found
    return best or replace(each.signature, result="permerror", reason="no key")


def _by_record(each: Unjudged, record: bytes, headers: Headers, body: Hashed) -> Signature:
    known: dict[str, Any] = {}
    try:
        key = _key(record)
        known = {"bits": key.bits, "testing": key.testing}
        _match(each, key)
        known["appended"] = _appended(each.wish, body)
        _verify(each, headers, body, key)
    except _Refused as refused:
        return replace(each.signature, **known, result=refused.result, reason=refused.reason)
    return replace(each.signature, **known, result="pass")


def _key(record: bytes) -> Key:
    try:
        return read_key(record)
    except ValueError as error:
        result: DkimResult = "policy" if "bits" in str(error) else "permerror"
        raise _Refused(result, str(error)) from None


def _match(each: Unjudged, key: Key) -> None:
    kind, _, algorithm = each.signature.algorithm.partition("-")
    if algorithm == "sha1":
        raise _Refused("policy", "rsa-sha1 must not be used")  # RFC 8301 §3.1
    if kind != key.kind:
        raise _Refused("permerror", f"a={each.signature.algorithm}, but the key is {key.kind}")
    if key.hashes and algorithm not in key.hashes:
        raise _Refused("permerror", f"the key does not allow {algorithm} (h=)")
    identity = each.signature.identity.rpartition("@")[2].lower()
    domain = each.signature.domain
    if identity and key.strict and identity != domain:
        raise _Refused("permerror", "i= must be exactly d= for this key (t=s)")
    if identity and not is_under(identity, domain):
        raise _Refused("permerror", "i= is not under d=")


def _appended(wish: BodyHashing | None, body: Hashed) -> bool:
    if wish is None or wish.length is None:
        return False
    if wish.length > body.size:
        raise _Refused("fail", "l= is longer than the body")
    return body.size > wish.length


def _verify(each: Unjudged, headers: Headers, body: Hashed, key: Key) -> None:
    try:
        wanted = base64.b64decode(_BLANK.sub(b"", each.tags[b"bh"]), validate=True)
    except (binascii.Error, ValueError):
        raise _Refused("permerror", "bh= is no base64") from None
    if wanted != body.digest:
        raise _Refused("fail", "body has been altered")
    if not _header_holds(each, headers, key):
        raise _Refused("fail", "signature does not fit the header")


def _header_holds(each: Unjudged, headers: Headers, key: Key) -> bool:
    names = [name.strip().lower() for name in each.tags[b"h"].split(b":")]
    # a second From would show another author than the one who signed (RFC 6376 §8.15)
    fields = chosen(headers, [*names, b"from"])
    canonicalization = each.tags.get(b"c", b"simple").partition(b"/")[0].decode("ascii")
    signed = signed_octets(fields, each.field, canonicalization)
    try:
        signature = base64.b64decode(_BLANK.sub(b"", each.tags[b"b"]), validate=True)
    except (binascii.Error, ValueError):
        raise _Refused("permerror", "b= is no base64") from None
    return key.fits(hashlib.sha256(signed).digest(), signature)
