"""A DKIM key record, read into a key that verifies.

RFC 6376 §3.6.1, RFC 8463 §4 (Ed25519), RFC 8301 §3.2 (sizes).  dkimpy reads the tags;
`cryptography` checks, RSA at an eighth of dkimpy's cost.  A record is its
owner's choice: its size, the modulus and the exponent are bounded, since a 16,384-bit
exponent would stop a worker for nine seconds.

Fails: `read_key` raises ValueError with a reason for what is no usable key.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import dkim
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

RECORD_MAX = 4096
MODULUS_MAX = 8192  # bits
MODULUS_MIN = 1024  # RFC 8301 §3.2: "MUST NOT consider signatures using RSA keys of less"
EXPONENT_MAX = 33  # bits
_PKCS1 = padding.PKCS1v15()
_SHA256 = utils.Prehashed(SHA256())


@dataclass(frozen=True, slots=True)
class Key:
    """A usable public key; `kind` is "rsa" or "ed25519".

    `testing` is t=y, `strict` is t=s (the signer's i= must be exactly d=); `hashes` is h=,
    empty when all are allowed.
    """

    kind: str
    bits: int
    public: rsa.RSAPublicKey | ed25519.Ed25519PublicKey
    testing: bool = False
    strict: bool = False
    hashes: frozenset[str] = frozenset()

    def fits(self, digest: bytes, signature: bytes) -> bool:
        """Whether this key made that signature over a SHA-256 digest (RFC 8463 §3 for Ed25519)."""
        try:
            if isinstance(self.public, rsa.RSAPublicKey):
                self.public.verify(signature, digest, _PKCS1, _SHA256)
            else:
                self.public.verify(signature, digest)
        except (InvalidSignature, ValueError):
            return False
        return True


class Revoked(ValueError):
    """The record is there and says that the key is no longer (empty p=)."""


@functools.lru_cache(maxsize=4096)
def read_key(record: bytes) -> Key:
    """Read one key record; parsed keys are kept, since a few senders send most mail."""
    if len(record) > RECORD_MAX:
        raise ValueError(f"key record of {len(record)} octets")
    tags = _tags(record)
    if tags.get(b"p", b"missing").strip() == b"":
        raise Revoked("key revoked")
    services = {word.strip() for word in tags.get(b"s", b"*").split(b":")}
    if not services & {b"*", b"email"}:
        raise ValueError("key is not for mail (s=)")
    public, bits = _public(record, tags)
    flags = {flag.strip() for flag in tags.get(b"t", b"").split(b":")}
    hashes = (word.strip().decode("ascii", "replace") for word in tags.get(b"h", b"").split(b":"))
    kind = "rsa" if isinstance(public, rsa.RSAPublicKey) else "ed25519"
    allowed = frozenset(filter(None, hashes))
    return Key(kind, bits, public, b"y" in flags, b"s" in flags, allowed)


def _tags(record: bytes) -> dict[bytes, bytes]:
    try:
        tags: dict[bytes, bytes] = dkim.util.parse_tag_value(record)
    except dkim.util.InvalidTagValueList as error:
        raise ValueError(f"key record is no tag list: {error}") from None
    if tags.get(b"v", b"DKIM1") != b"DKIM1":
        raise ValueError("key record is not of version DKIM1")
    return tags


def _public(
    record: bytes, tags: dict[bytes, bytes]
) -> tuple[rsa.RSAPublicKey | ed25519.Ed25519PublicKey, int]:
    if tags.get(b"k", b"rsa") not in (b"rsa", b"ed25519"):
        raise ValueError("unknown key type (k=)")
    try:
        # the service tag is judged by now; dkimpy reads it otherwise, and gives nothing at all
        public, bits, kind, _ = dkim.evaluate_pk("key", record)
        if public is None:
            raise ValueError("dkimpy finds no use for it")
    except (dkim.DKIMException, ValueError, TypeError, LookupError, AssertionError) as error:
        raise ValueError(f"key cannot be read: {error}") from None
    if kind == b"ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes(public)), 256
    exponent, modulus = public["publicExponent"], public["modulus"]
    if not MODULUS_MIN <= bits <= MODULUS_MAX:
        raise ValueError(f"RSA key of {bits} bits")
    if exponent.bit_length() > EXPONENT_MAX:
        raise ValueError("RSA exponent too large")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key(), bits
    except ValueError as error:
        raise ValueError(f"RSA key cannot be used: {error}") from None
