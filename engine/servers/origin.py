"""Origin: who really sends, when a trusted proxy speaks for the client.

XFORWARD (Postfix's before-queue filter: the client of the next mail) and XCLIENT (a
test, a load balancer: the client of this connection); the attributes come decoded from
engine.wire.smtp.  What a proxy does not know stays as the connection itself shows it.

Fails: `told` raises ProtocolError for an address that is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.session import Helo, Login, Peer

_EXTENDED = ("ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA")


@dataclass(frozen=True, slots=True)
class Origin:
    """A client as the transaction sees it; `named` when its reverse name is settled."""

    peer: Peer
    helo: Helo | None = None
    login: Login | None = None
    named: bool = False

    def told(self, attributes: Iterable[tuple[str, str]]) -> Origin:
        """The same with what a proxy says of it."""
        said = dict(attributes)
        login = Login(said["LOGIN"], "XCLIENT") if said.get("LOGIN") else self.login
        return replace(
            self,
            peer=self._peer(said),
            helo=self._helo(said),
            login=login,
            named=self.named or "NAME" in said,
        )

    def _peer(self, said: Mapping[str, str]) -> Peer:
        port = said.get("PORT", "")
        number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
        try:
            peer = Peer.at(said["ADDR"]) if said.get("ADDR") else self.peer
        except ValueError as error:
            raise ProtocolError("ADDR is no address", "501 5.5.4 ADDR is no address") from error
        return replace(peer, port=number or peer.port, rdns=said.get("NAME", peer.rdns))

    def _helo(self, said: Mapping[str, str]) -> Helo | None:
        if not said.get("HELO"):
            return self.helo
        extended = said.get("PROTO", "ESMTP").upper() in _EXTENDED
        return Helo(said["HELO"], extended)
