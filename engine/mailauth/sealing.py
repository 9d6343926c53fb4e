"""ARC sealing: hand a mail on with what we found, and the chain closed over it.

RFC 8617 §5.1.  One set: our results (AAR), a signature over the mail (AMS), a seal over all
sets (AS).  `cv=` is what we ourselves found of the chain as it came.  A chain that fails is
sealed once, over our own set alone (§5.1.2); after a seal that says `cv=fail`, or fifty sets,
nothing is added.  Only rsa-sha256 is defined for ARC.

No value is folded inside, so that every canonicalization gives the same octets.

Fails: never; None where no set may be added.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import NamedTuple

from millrace.engine.mail.edits import field_of
from millrace.engine.mail.headers import Field, Headers
from millrace.engine.mailauth.arc import SETS_MAX, ArcResult
from millrace.engine.mailauth.bodyhash import BodyHashing, Hashed
from millrace.engine.mailauth.headerhash import chosen, signed_octets
from millrace.engine.mailauth.signing import signed_names
from millrace.engine.ports import Signer

BODY = BodyHashing("relaxed", "sha256")
RESULTS, MESSAGE, SEAL = "ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"
_INSTANCE = re.compile(rb"(?:^|;)[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*(\d{1,3})[ \t\r\n]*(?:;|$)")
_CV_FAIL = re.compile(rb"(?:^|;)[ \t\r\n]*cv[ \t\r\n]*=[ \t\r\n]*fail[ \t\r\n]*(?:;|$)", re.I)


class SealedSet(NamedTuple):
    """The values of the three fields, folded; put above the mail in this order, the seal last."""

    results: str
    message: str
    seal: str


def sealed(
    headers: Headers,
    body: Hashed,
    results: str,
    chain: ArcResult,
    signer: Signer,
    now: float,
    names: Sequence[bytes] = (),
) -> SealedSet | None:
    """Make the next set; `results` is an Authentication-Results value, `body` hashed as BODY."""
    instance = _last(headers) + 1
    if instance > SETS_MAX or any(_CV_FAIL.search(s.value) for s in headers.all(SEAL.encode())):
        return None
    came = [b"dkim-signature"] * len(headers.all(b"DKIM-Signature"))
    names = names or [*signed_names(headers), *came]
    who = {"d": signer.domain, "i": str(instance), "s": signer.selector, "t": str(int(now))}
    found = f"i={instance}; {results}"
    digest = base64.b64encode(body.digest).decode("ascii")
    shape = {"bh": digest, "c": "relaxed/relaxed", "h": b":".join(names).decode("ascii"), **who}
    message = _signed(MESSAGE, shape, chosen(headers, names), signer)
    own = [field_of(RESULTS, found), field_of(MESSAGE, message)]
    scope = own if chain == "fail" else [*_earlier(headers, instance), *own]
    seal = _signed(SEAL, {"cv": chain, **who}, scope, signer)
    return SealedSet(found, message, seal)


def _signed(name: str, tags: dict[str, str], fields: list[Field], signer: Signer) -> str:
    listed = sorted({"a": signer.algorithm, "b": "", **tags}.items())
    text = ";\n\t".join(f"{key}={value}" for key, value in listed)
    text = text.replace("\n\ti=", " i=")  # dkimpy looks for " i=1;" in the raw field
    made = signer.sign(signed_octets(fields, field_of(name, text), "relaxed"))
    return text.replace("b=;", f"b={base64.b64encode(made).decode('ascii')};", 1)


def _number(field: Field) -> int:
    found = _INSTANCE.search(field.value)
    return int(found[1]) if found else 0


def _last(headers: Headers) -> int:
    """The highest instance that stands there, in whatever order and state."""
    kinds = (RESULTS, MESSAGE, SEAL)
    return max((_number(f) for kind in kinds for f in headers.all(kind.encode())), default=0)


def _earlier(headers: Headers, instance: int) -> list[Field]:
    """The sets before ours, oldest first; a chain that holds has each once (§5.1.1)."""
    fields: list[Field] = []
    for number in range(1, instance):
        for kind in (RESULTS, MESSAGE, SEAL):
            fields += [f for f in headers.all(kind.encode()) if _number(f) == number]
    return fields
