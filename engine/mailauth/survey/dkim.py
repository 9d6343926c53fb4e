"""DKIM: which keys do a domain's selectors publish, and are they fit for use?

RFC 6376 §3.6.1, RFC 8301 §3.2 (sizes), RFC 8463.  Nobody can list selectors: the given ones
must be there, those that large senders are known to use are tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from millrace.engine.mailauth.dkimkeys import Key, Revoked, read_key
from millrace.engine.mailauth.survey.line import Line, quoted, unknown
from millrace.engine.ports import Answer, Dns

SUBJECT = "DKIM"
GOOD_BITS = 2048
SELECTORS_MAX = 60
COMMON = """default dkim mail email google selector1 selector2 s1 s2 k1 k2 k3 key1 key2 sig1 smtp
mta fm1 fm2 fm3 protonmail protonmail2 protonmail3 mandrill mailjet zoho zmail sm sendgrid mxvault
everlytickey1 everlytickey2 hs1 hs2 ctct1 ctct2 litesrv turbo-smtp cm pm""".split()  # noqa: SIM905


async def look(
    domain: str, wanted: Sequence[str], dns: Dns, own: Mapping[str, str] | None = None
) -> list[Line]:
    """Lines about keys: of `wanted` selectors each, of common ones those that are there.

    `own` are the records of keys that sign here, by selector; what is published must be the same.
    """
    own = own or {}
    wanted = list(dict.fromkeys((*own, *wanted)))[:SELECTORS_MAX]
    others = [selector for selector in COMMON if selector not in wanted]
    names = [f"{selector}._domainkey.{domain}" for selector in (*wanted, *others)]
    answers = await dns.ask_all([(name, "TXT") for name in names])
    lines: list[Line] = []
    for at, (selector, answer) in enumerate(zip((*wanted, *others), answers, strict=True)):
        if at < len(wanted) or any(_public(text) is not None for text in answer.texts):
            lines += _selector(selector, domain, answer, own.get(selector, ""))
    if lines:
        return lines
    failed = next((answer for answer in answers if answer.failed), None)
    if failed is not None:
        return [unknown(SUBJECT, f"keys of {domain}", failed)]
    told = f"no key at {len(others)} selectors in common use"
    mend = f"Name yours (--selector), or make one: millrace dkim keygen {domain}"
    return [Line(SUBJECT, "none", told, mend)]


def _public(record: bytes) -> str | None:
    """The p= of a record; None where there is none, as in the TXT of a wildcard."""
    tags = (part.partition(b"=") for part in record.split(b";"))
    found = (value for name, equals, value in tags if equals and name.strip() == b"p")
    value = next(found, None)
    return None if value is None else b"".join(value.split()).decode("ascii", "replace")


def _selector(selector: str, domain: str, answer: Answer, own: str) -> Iterator[Line]:
    name = f"{selector}._domainkey.{domain}"
    if answer.failed:
        yield unknown(SUBJECT, name, answer)
        return
    if not answer.texts:
        mend = f"Publish it (millrace dkim publish {domain}), or stop signing with it."
        yield Line(SUBJECT, "wrong", f"{selector}: no key is published", mend)
        return
    if len(answer.texts) > 1:
        told = f"{selector}: {len(answer.texts)} TXT records; verifiers take any (RFC 6376 §3.6.2)"
        yield Line(SUBJECT, "wrong", told, f"Leave one at {name}.")
    if own and _public(answer.texts[0]) != _public(own.encode()):
        told = f"{selector}: another key is published than the one that signs here"
        yield Line(SUBJECT, "wrong", told, f"Publish ours: millrace dkim publish {domain}")
        return
    yield _record(selector, name, answer.texts[0])


def _record(selector: str, name: str, record: bytes) -> Line:
    try:
        return _key(selector, name, read_key(record))
    except Revoked:
        told = f"{selector}: revoked (empty p=)"
        return Line(SUBJECT, "note", told, f"Remove {name} when no mail under way bears it.")
    except ValueError as error:
        mend = f"Publish {name} anew: millrace dkim publish"
        return Line(SUBJECT, "wrong", f"{selector}: {quoted(str(error))}", mend)


def _key(selector: str, name: str, key: Key) -> Line:
    told = f"{selector}: {key.kind} {key.bits} bits"
    if key.testing:
        mend = f"Take t=y out of {name}: it asks to treat mail as unsigned."
        return Line(SUBJECT, "note", f"{told}, in test mode", mend)
    if key.kind == "rsa" and key.bits < GOOD_BITS:
        mend = f"Rotate to {GOOD_BITS} bits: millrace dkim rotate (RFC 8301 §3.2)"
        return Line(SUBJECT, "note", f"{told}: short", mend)
    return Line(SUBJECT, "ok", told)
