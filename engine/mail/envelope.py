"""The envelope: who sends, and to whom.  RFC 5321 §2.3.1.

Options are the ESMTP parameters as they were given (`SIZE=1000`, `BODY=8BITMIME`).
"""

from __future__ import annotations

from dataclasses import dataclass

from millrace.engine.mail.address import Address, DomainName


@dataclass(frozen=True, slots=True)
class Sender:
    """The reverse-path; `address` is None for the null sender of bounces."""

    address: Address | None
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.address) if self.address else ""

    @property
    def domain(self) -> DomainName:
        """The sender's domain, "" for the null sender."""
        return self.address.domain if self.address else ""

    @property
    def local(self) -> str:
        """The sender's local part, "" for the null sender."""
        return self.address.local if self.address else ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path."""

    address: Address
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.address)

    @property
    def domain(self) -> DomainName:
        """The recipient's domain."""
        return self.address.domain

    @property
    def local(self) -> str:
        """The recipient's local part."""
        return self.address.local


@dataclass(frozen=True, slots=True)
class Envelope:
    """All of it, once the last recipient is known; `id` is the queue id, or ours."""

    id: str
    sender: Sender
    recipients: tuple[Recipient, ...]
