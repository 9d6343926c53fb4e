"""Whom a limit is about: the address, network, sender, domain, login or recipient.

Networks are the /24 of IPv4 and the /64 of IPv6, which is what one customer gets.
Domains and addresses are compared without regard to case.

Fails: never; who is not there (no login, the null sender) is nobody, "".
"""

from __future__ import annotations

from typing import Literal

from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.session import Login, Peer

Per = Literal["address", "network", "sender", "domain", "login", "recipient"]


def subject(
    per: Per, peer: Peer, sender: Sender, login: Login | None, recipient: Recipient | None = None
) -> str:
    """The name of whom the limit is about in this mail."""
    if per == "address":
        return peer.ip
    if per == "network":
        return peer.network
    if per == "sender":
        return str(sender).lower()
    if per == "domain":
        return sender.domain.lower()
    if per == "login":
        return login.user if login else ""
    return str(recipient).lower() if recipient else ""
