"""ARC: who handed this mail on, and does the chain of their seals hold?

RFC 8617 §5.2.  The chain's structure is judged first, then the newest message signature,
then every seal from the newest to the oldest; all keys are asked for at once.

Three steps, as for DKIM: `read_chain(headers)` → `hashed` for `chain.wish` → `judge`.

Gives:  none, pass or fail, and the sealers from the oldest to the newest.
Fails:  never; what is broken is "fail" with a reason (§5.2: there is no other word for it).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import dkim

from millrace.engine.mail.headers import Field, Headers
from millrace.engine.mailauth.bodyhash import BodyHashing, Canonicalization, Hashed
from millrace.engine.mailauth.dkimkeys import Key, read_key
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.headerhash import chosen, signed_octets
from millrace.engine.ports import Answer, Dns

ArcResult = Literal["none", "pass", "fail"]
SETS_MAX = 50  # RFC 8617 §4.2.1
SETS_JUDGED = 10  # a longer chain costs more than it is worth, and fails
FIELD_MAX = 16 << 10
NAMES_MAX = 200
_KINDS = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")
# RFC 8617 leaves the default open; its published suite and all sealers take this one
_DEFAULT = b"relaxed/relaxed"
_BLANK = re.compile(rb"[ \t\r\n]+")
_INSTANCE = re.compile(rb"\s*(?:[^;]*;)*?\s*i\s*=\s*(\d{1,3})\s*(?:;|$)", re.S)
_AAR_INSTANCE = re.compile(rb"\s*i\s*=\s*(\d{1,3})\s*;", re.S)
_RULES: dict[bytes, tuple[bytes, ...]] = {
    b"arc-message-signature": (b"i", b"a", b"b", b"bh", b"d", b"h", b"s"),
    b"arc-seal": (b"i", b"a", b"b", b"cv", b"d", b"s"),
}


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One set: what a forwarder found, its signature over the mail, its seal over the chain."""

    instance: int
    results: Field
    message: Field
    seal: Field
    message_tags: Mapping[bytes, bytes]
    seal_tags: Mapping[bytes, bytes]

    @property
    def sealer(self) -> str:
        """The domain of the seal."""
        return self.seal_tags[b"d"].decode("utf-8", "replace").lower()


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as it was read; `result` is set where no key can change it any more."""

    sets: tuple[ArcSet, ...] = ()
    result: ArcResult | None = None
    reason: str = ""
    wish: BodyHashing | None = None


@dataclass(frozen=True, slots=True)
class ChainJudged:
    """The result of the chain; `sealers` from the oldest to the newest."""

    result: ArcResult
    sealers: tuple[str, ...] = ()
    reason: str = ""


class _Broken(Exception):
    pass


def read_chain(headers: Headers) -> Chain:
    """Read the sets and judge their structure (RFC 8617 §5.2 steps 1 to 3)."""
    fields = {kind: headers.all(kind) for kind in _KINDS}
    if not any(fields.values()):
        return Chain(result="none")
    try:
        sets = _sets(fields)
        if sets[-1].seal_tags[b"cv"].lower() == b"fail":
            raise _Broken("the chain was already broken for its newest sealer")
        for each in sets:
            wanted = b"none" if each.instance == 1 else b"pass"
            if each.seal_tags[b"cv"].lower() != wanted:
                raise _Broken(f"seal {each.instance} says cv={_text(each.seal_tags[b'cv'])}")
        return Chain(sets, wish=_wish(sets[-1].message_tags))
    except _Broken as broken:
        return Chain(result="fail", reason=str(broken))


def _sets(fields: Mapping[bytes, list[Field]]) -> tuple[ArcSet, ...]:
    count = len(fields[b"arc-seal"])
    if not 0 < count <= SETS_MAX or any(len(each) != count for each in fields.values()):
        raise _Broken("the sets are not complete")
    if count > SETS_JUDGED:
        raise _Broken(f"more than {SETS_JUDGED} sets")
    numbered = {kind: _by_instance(kind, each, count) for kind, each in fields.items()}
    return tuple(_set(numbered, instance) for instance in range(1, count + 1))


def _by_instance(kind: bytes, fields: list[Field], count: int) -> dict[int, Field]:
    found: dict[int, Field] = {}
    pattern = _AAR_INSTANCE if kind == b"arc-authentication-results" else _INSTANCE
    for field in fields:
        if len(field.value) > FIELD_MAX:
            raise _Broken("a field of the chain is too long")
        match = pattern.match(field.value)
        if match is None or not 1 <= int(match[1]) <= count or int(match[1]) in found:
            raise _Broken("the sets are not numbered from 1 on, each once")
        found[int(match[1])] = field
    return found


def _set(numbered: Mapping[bytes, Mapping[int, Field]], instance: int) -> ArcSet:
    results, message, seal = (numbered[kind][instance] for kind in _KINDS)
    message_tags, seal_tags = _tags(_KINDS[1], message), _tags(_KINDS[2], seal)
    names = {name.strip().lower() for name in message_tags[b"h"].split(b":")}
    if b"arc-seal" in names:
        raise _Broken("a message signature signs a seal")
    if message_tags[b"h"].count(b":") >= NAMES_MAX:
        raise _Broken(f"h= names more than {NAMES_MAX} fields")
    if b"h" in seal_tags:
        raise _Broken("a seal has h=")
    return ArcSet(instance, results, message, seal, message_tags, seal_tags)


def _tags(kind: bytes, field: Field) -> dict[bytes, bytes]:
    name = kind.decode()
    try:
        tags: dict[bytes, bytes] = dkim.util.parse_tag_value(field.value)
        # dkimpy would hold times against its own clock, and ARC knows no expiry
        timeless = {key: value for key, value in tags.items() if key not in (b"t", b"x")}
        dkim.validate_signature_fields(timeless, list(_RULES[kind]), True)
    except (dkim.util.InvalidTagValueList, dkim.DKIMException) as error:
        raise _Broken(f"{name}: {error}") from None
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise _Broken(f"{name} cannot be read: {error}") from None
    if not tags.get(b"t", b"0").isdigit():
        raise _Broken(f"{name}: t= is no time")
    if tags[b"a"] != b"rsa-sha256":
        raise _Broken(f"{name} by {_text(tags[b'a'])}")  # RFC 8617 §4.1.3, RFC 8301 §3.1
    return tags


def _wish(tags: Mapping[bytes, bytes]) -> BodyHashing:
    _, _, body = tags.get(b"c", _DEFAULT).partition(b"/")
    body = body or b"simple"
    if body not in (b"simple", b"relaxed"):
        raise _Broken("unknown canonicalization (c=)")
    return BodyHashing(cast("Canonicalization", body.decode()), "sha256")


async def judge(
    chain: Chain, headers: Headers, bodies: Mapping[BodyHashing, Hashed], dns: Dns
) -> ChainJudged:
    """Check the newest message signature and every seal (RFC 8617 §5.2 steps 4 to 6)."""
    sealers = tuple(each.sealer for each in chain.sets)
    if chain.result is not None or chain.wish is None:
        return ChainJudged(chain.result or "none", sealers, chain.reason)
    newest = chain.sets[-1]
    names = [_key_name(newest.message_tags), *(_key_name(each.seal_tags) for each in chain.sets)]
    answers = await dns.ask_all([(name, "TXT") for name in names])
    try:
        _check_message(newest, headers, bodies[chain.wish], _key(answers[0]))
        for each, answer in reversed(list(zip(chain.sets, answers[1:], strict=True))):
            _check_seal(each, chain.sets, _key(answer))
    except _Broken as broken:
        return ChainJudged("fail", sealers, str(broken))
    return ChainJudged("pass", sealers)


def _key_name(tags: Mapping[bytes, bytes]) -> str:
    return f"{ascii_domain(_text(tags[b's']))}._domainkey.{ascii_domain(_text(tags[b'd']))}"


def _key(answer: Answer) -> Key:
    if answer.failed:
        raise _Broken(f"DNS {answer.status} for a key")
    trouble = "no key"
    for record in answer.texts[:4]:
        try:
            return read_key(record)
        except ValueError as error:
            trouble = str(error)
    raise _Broken(trouble)


def _check_message(each: ArcSet, headers: Headers, body: Hashed, key: Key) -> None:
    tags = each.message_tags
    if _decoded(tags[b"bh"]) != body.digest:
        raise _Broken("the body was altered after the newest seal")
    names = [name.strip().lower() for name in tags[b"h"].split(b":")]
    form = tags.get(b"c", _DEFAULT).partition(b"/")[0].decode("ascii", "replace")
    signed = signed_octets(chosen(headers, names), each.message, form)
    if not key.fits(hashlib.sha256(signed).digest(), _decoded(tags[b"b"])):
        raise _Broken("the header was altered after the newest seal")


def _check_seal(each: ArcSet, sets: tuple[ArcSet, ...], key: Key) -> None:
    fields: list[Field] = []
    for earlier in sets[: each.instance]:
        fields += (earlier.results, earlier.message, earlier.seal)
    signed = signed_octets(fields[:-1], each.seal, "relaxed")  # RFC 8617 §5.1.1
    if not key.fits(hashlib.sha256(signed).digest(), _decoded(each.seal_tags[b"b"])):
        raise _Broken(f"seal {each.instance} of {each.sealer} does not fit")


def _decoded(value: bytes) -> bytes:
    try:
        return base64.b64decode(_BLANK.sub(b"", value), validate=True)
    except (binascii.Error, ValueError):
        raise _Broken("a signature is no base64") from None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
