"""Sign: put our DKIM signatures on mail of our own domains.

RFC 6376, RFC 8463.  Asks for the mail as it will leave us, so that it runs after all edits;
name it before `archive`, which then keeps the signed mail.  Who is not logged in gets no
signature unless `when` says who else may; a domain without keys is left alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from millrace.engine.mail.author import Author
from millrace.engine.mail.edits import Edit, Edited, InsertHeader
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Listener
from millrace.engine.mailauth.bodyhash import hashed, listeners
from millrace.engine.mailauth.signing import BODY, FIELD, signature
from millrace.engine.ports import Clock, Keys


@dataclass(frozen=True, slots=True)
class Signed(Fact):
    """The domain that signed, "" for none, and the selectors of its keys."""

    domain: str = ""
    selectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignDkim:
    """Sign with every active key of the author's domain."""

    def listeners(self, headers: Headers) -> Mapping[Hashable, Listener]:
        """A running hash of the body, which no filter may have changed by then."""
        return listeners([BODY] if headers.all(b"From") else [])

    def run(self, edited: Edited, keys: Keys, clock: Clock) -> Finding[Signed]:
        message = edited.message
        author = Author.of(message.headers)
        domains = {address.domain for address in author.addresses}
        signers = keys.signers(author.domain) if len(domains) == 1 else ()
        if not signers:
            return Finding(Signed(), note=f"no key for {author.domain or 'a mail without author'}")
        bodies = hashed(message.body, [BODY])
        made = [signature(message.headers, bodies[BODY], s, clock.now()) for s in signers]
        edits: tuple[Edit, ...] = tuple(InsertHeader(FIELD, value) for value in made)
        return Finding(Signed(signers[0].domain, tuple(s.selector for s in signers)), edits=edits)
