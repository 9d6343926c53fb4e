"""The keys that sign our mail, in files that only we may read.

    DOMAIN/SELECTOR.pem        active: signs
    DOMAIN/SELECTOR.pem.next   made and to be published: does not sign yet
    DOMAIN/SELECTOR.pem.old    retired: its record stays until mail under way is delivered

Read when first asked for, and again when the folder has changed.

Fails: `Misconfigured` for a key that cannot be read, or that others may read.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from millrace.engine.errors import Fault, Misconfigured, Place

RSA_BITS = 2048
ACTIVE, NEXT, OLD = ".pem", ".pem.next", ".pem.old"
Private = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One private key."""

    domain: str
    selector: str
    private: Private

    @property
    def algorithm(self) -> str:
        """As a= has it."""
        return "rsa-sha256" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519-sha256"

    def sign(self, octets: bytes) -> bytes:
        """RSA PKCS#1 v1.5, or Ed25519 over the SHA-256 digest (RFC 8463 §3)."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        digest = hashes.Hash(hashes.SHA256())
        digest.update(octets)
        return self.private.sign(digest.finalize())

    @property
    def name(self) -> str:
        """Where the public half is published."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record of the public half (RFC 6376 §3.6.1, RFC 8463 §4)."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            public = self.private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
        raw = self.private.public_key().public_bytes_raw()
        return f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"


class KeyRing:
    """The Keys port on a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[float, tuple[SigningKey, ...]]] = {}

    def signers(self, domain: str) -> tuple[SigningKey, ...]:
        """The active keys of a domain, or of the nearest one above it that has any."""
        labels = domain.lower().split(".")
        for at in range(len(labels) - 1):
            found = self._of(".".join(labels[at:]))
            if found:
                return found
        return ()

    def _of(self, domain: str) -> tuple[SigningKey, ...]:
        folder = self._folder / domain
        if "/" in domain or domain.startswith("."):
            return ()
        try:
            changed = folder.stat().st_mtime
        except OSError:
            return ()
        known = self._known.get(domain)
        if known is None or known[0] != changed:
            known = (changed, tuple(self.keys(domain, ACTIVE)))
            self._known[domain] = known
        return known[1]

    def keys(self, domain: str, state: str) -> Iterator[SigningKey]:
        """The keys of exactly this domain in that state, by selector."""
        for path in sorted((self._folder / domain).glob(f"*{state}")):
            yield SigningKey(domain, path.name.removesuffix(state), _read(path))

    def make(self, domain: str, selector: str, kind: str, state: str = ACTIVE) -> SigningKey:
        """Make a key ("rsa" or "ed25519") and keep it, readable for us alone."""
        folder = self._folder / domain
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        private: Private = ed25519.Ed25519PrivateKey.generate()
        if kind == "rsa":
            private = rsa.generate_private_key(65537, RSA_BITS)
        data = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        taken = next(folder.glob(f"{selector}.pem*"), None)
        if taken is not None:
            hint = "Choose another --selector; a name is used once."
            raise Misconfigured(Fault("there is a key of that name", hint, Place(str(taken))))
        path = folder / f"{selector}{state}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        return SigningKey(domain, selector, private)

    def move(self, key: SigningKey, state: str, to: str) -> None:
        """Put a key into another state."""
        folder = self._folder / key.domain
        (folder / f"{key.selector}{state}").rename(folder / f"{key.selector}{to}")


def _read(path: Path) -> Private:
    place = Place(str(path))
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Misconfigured(Fault("others may read this key", f"chmod 600 {path}", place))
        private = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise Misconfigured(Fault(f"cannot be read as a key: {error}", "", place)) from None
    if not isinstance(private, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        raise Misconfigured(Fault("is neither an RSA nor an Ed25519 key", "", place))
    return private
