"""Stamp: write down for the recipient what was measured.

Authentication-Results by RFC 8601; fields that claim our authserv-id and came from
outside are forged and are removed (§5).  `X-Spam-*` and `X-Millrace` by option.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from millrace.engine.mail.edits import Edit, InsertHeader, RemoveHeader
from millrace.engine.mail.envelope import Envelope
from millrace.engine.mail.finding import Finding
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.session import Helo, Login, Peer
from millrace.engine.mail.verdict import Action, Verdict
from millrace.engine.mailauth import receivedspf
from millrace.engine.mailauth.results import Method, claimed_id, written
from millrace.filters.arc import Arc
from millrace.filters.dkim import Dkim
from millrace.filters.dmarc import Dmarc
from millrace.filters.spam import Spam
from millrace.filters.spf import Spf
from millrace.filters.upstream import Upstream

FIELD = "Authentication-Results"
OURS = (b"X-Spam-Status", b"X-Spam-Score", b"X-Spam-Flag", b"X-Millrace")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Add our results on top, and take away what pretends to be ours."""

    authserv_id: Annotated[str, "the name that our results bear, by default this host's"] = field(
        default_factory=platform.node
    )
    spam_headers: Annotated[bool, "add X-Spam-Status, X-Spam-Score, X-Spam-Flag"] = False
    trace_header: Annotated[bool, "add X-Millrace: action, rule and id"] = False
    received_spf: Annotated[bool, "add Received-SPF (RFC 7208 §9.1)"] = False

    def run(
        self,
        peer: Peer,
        helo: Helo | None,
        verdict: Verdict,
        envelope: Envelope,
        headers: Headers,
        login: Login | None,
        spf: Spf | None,
        dkim: Dkim | None,
        arc: Arc | None,
        dmarc: Dmarc | None,
        spam: Spam | None,
        upstream: Upstream | None = None,
    ) -> Finding:  # type: ignore[type-arg]
        # of a relay that is believed, SPF says nothing about the author: its own field stands
        of_peer = None if upstream is not None and upstream.authserv_id else spf
        found = (*_names(peer), *methods(envelope, helo, login, of_peer, dkim, arc, dmarc))
        edits: list[Edit] = list(self._forged(headers))
        if self.trace_header:
            rule = verdict.because.rule if verdict.because else "-"
            words = f"{verdict.action.word} {rule} {envelope.id}"
            edits.append(InsertHeader("X-Millrace", words))
        if self.spam_headers:
            edits += _spam_headers(verdict, spam)
        if self.received_spf and of_peer is not None:
            hop = receivedspf.Hop(self.authserv_id, peer, helo, envelope.sender)
            told = receivedspf.told(
                hop, of_peer.result, of_peer.scope, of_peer.term, of_peer.reason
            )
            edits.append(InsertHeader(receivedspf.FIELD, told))
        edits.append(InsertHeader(FIELD, written(self.authserv_id, found, _utf8(envelope))))
        return Finding(edits=tuple(edits))

    def _forged(self, headers: Headers) -> Iterator[Edit]:
        ours = self.authserv_id.lower().rstrip(".")
        claims = [claimed_id(entry.value) for entry in headers.all(FIELD.encode())]
        # from the last to the first: some MTAs number anew after each removal
        for index in range(len(claims), 0, -1):
            if claims[index - 1] == ours:
                yield RemoveHeader(FIELD, index)
        for name in OURS if self.spam_headers or self.trace_header else ():
            for index in range(len(headers.all(name)), 0, -1):
                yield RemoveHeader(name.decode(), index)


def _names(peer: Peer) -> Iterator[Method]:
    if peer.ip and peer.rdns:
        yield Method("iprev", "pass", (("policy", "iprev", peer.ip),))


def _utf8(envelope: Envelope) -> bool:
    return any(option.upper() == "SMTPUTF8" for option in envelope.sender.options)


def methods(
    envelope: Envelope,
    helo: Helo | None,
    login: Login | None,
    spf: Spf | None,
    dkim: Dkim | None,
    arc: Arc | None,
    dmarc: Dmarc | None,
) -> Iterator[Method]:
    """The results of all that was checked, in the words of RFC 8601."""
    if login is not None:
        yield Method("auth", "pass", (("smtp", "auth", login.user),))
    if spf is not None:
        named = str(envelope.sender) if spf.scope == "mfrom" else spf.domain
        who = ("smtp", "mailfrom" if spf.scope == "mfrom" else "helo", named)
        yield Method("spf", spf.result, (who,), _reason(spf.result, spf.reason))
    if spf is not None and spf.scope == "mfrom" and spf.helo:
        yield Method("spf", spf.helo, (("smtp", "helo", helo.name if helo else ""),))
    if dkim is not None and not dkim.signatures:
        yield Method("dkim", dkim.result)
    for signature in dkim.signatures if dkim is not None else ():
        found = (
            ("header", "d", signature.domain),
            ("header", "i", signature.identity),
            ("header", "s", signature.selector),
            ("header", "a", signature.algorithm),
            ("header", "b", signature.mark),  # tells two of one domain apart, RFC 6008
        )
        yield Method("dkim", signature.result, found, _reason(signature.result, signature.reason))
    if arc is not None and arc.result != "none":
        yield Method("arc", arc.result, (), _reason(arc.result, arc.reason))
    if dmarc is not None:
        about = (("header", "from", dmarc.domain), ("policy", "dmarc", dmarc.policy))
        yield Method("dmarc", dmarc.result, about, _reason(dmarc.result, dmarc.reason))


def _reason(result: str, reason: str) -> str:
    return "" if result in ("pass", "none") else reason


def _spam_headers(verdict: Verdict, spam: Spam | None) -> Iterator[Edit]:
    flagged = "Yes" if verdict.action in (Action.TAG, Action.QUARANTINE) else "No"
    told = f", probability={spam.probability:.3f}" if spam is not None else ""
    yield InsertHeader("X-Spam-Score", f"{verdict.score:.2f}")
    yield InsertHeader("X-Spam-Flag", flagged.upper())
    yield InsertHeader("X-Spam-Status", f"{flagged}, score={verdict.score:.2f}{told}")
