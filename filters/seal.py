"""Seal: vouch, by ARC, for what we found of a mail that we hand on.

RFC 8617 §5.1.  Asks for the mail as it will leave us, so that it runs after all edits, and
for the chain as it came; stands in no shipped pipeline, since only who forwards needs it.
The key is an RSA key of the key ring; ARC knows no Ed25519.
"""

from __future__ import annotations

import platform
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from millrace.engine.mail.edits import Edited, InsertHeader
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Listener
from millrace.engine.mail.session import Helo, Login
from millrace.engine.mailauth import sealing
from millrace.engine.mailauth.bodyhash import hashed, listeners
from millrace.engine.mailauth.results import written
from millrace.engine.ports import Clock, Keys, Signer
from millrace.filters.arc import Arc
from millrace.filters.dkim import Dkim
from millrace.filters.dmarc import Dmarc
from millrace.filters.spf import Spf
from millrace.filters.stamp import methods
from millrace.filters.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Sealed(Fact):
    """The domain that sealed, "" for none, and the `cv` that the seal says."""

    domain: str = ""
    cv: str = ""


@dataclass(frozen=True, slots=True)
class SealArc:
    """Add one ARC set on top, unless the chain has ended."""

    domain: Annotated[str, "the domain that seals; its RSA key is in the key ring"]
    selector: Annotated[str, "the key's selector, by default the first RSA key's"] = ""
    authserv_id: Annotated[str, "the name that our results bear, by default this host's"] = field(
        default_factory=platform.node
    )

    def listeners(self, headers: Headers) -> Mapping[Hashable, Listener]:
        """A running hash of the body, which no filter may have changed by then."""
        return listeners([sealing.BODY])

    def run(
        self,
        edited: Edited,
        arc: Arc,
        keys: Keys,
        clock: Clock,
        helo: Helo | None,
        login: Login | None,
        spf: Spf | None,
        dkim: Dkim | None,
        dmarc: Dmarc | None,
        upstream: Upstream | None = None,
    ) -> Finding[Sealed]:
        signer = self._signer(keys)
        if signer is None:
            return Finding(Sealed(), note=f"no RSA key for {self.domain}")
        bodies = hashed(edited.message.body, [sealing.BODY])
        # as in stamp: of a relay that is believed, SPF says nothing about the author
        of_peer = None if upstream is not None and upstream.authserv_id else spf
        found = methods(edited.envelope, helo, login, of_peer, dkim, arc, dmarc)
        results = written(self.authserv_id, tuple(found), utf8=False)
        made = sealing.sealed(
            edited.message.headers, bodies[sealing.BODY], results, arc.result, signer, clock.now()
        )
        if made is None:
            return Finding(Sealed(), note="the chain has ended: no set may be added")
        names = (sealing.RESULTS, sealing.MESSAGE, sealing.SEAL)
        edits = tuple(InsertHeader(n, value) for n, value in zip(names, made, strict=True))
        return Finding(Sealed(signer.domain, arc.result), edits=edits)

    def _signer(self, keys: Keys) -> Signer | None:
        fits = (
            signer
            for signer in keys.signers(self.domain)
            if signer.algorithm == "rsa-sha256" and self.selector in ("", signer.selector)
        )
        return next(fits, None)
