"""A DKIM key record, read into a key that verifies.

RFC 6376 §3.6.1, RFC 8463 §4 (Ed25519), RFC 8301 §3.2 (sizes).  dkimpy reads the tags;
RSA is checked by `cryptography`, eight times cheaper than dkimpy's own.  A record is its
owner's choice: its size, the modulus and the exponent are bounded, since a 16,384-bit
exponent would stop a worker for nine seconds.

Fails: `read_key` raises ValueError with a reason for what is no usable key.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import dkim
import nacl.exceptions
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

RECORD_MAX = 4096
MODULUS_MAX = 8192  # bits
MODULUS_MIN = 1024  # RFC 8301 §3.2: "MUST NOT consider signatures using RSA keys of less"
EXPONENT_MAX = 33  # bits


@dataclass(frozen=True, slots=True)
class Key:
    """A usable public key; `kind` "rsa" or "ed25519", `verifier` has `verify(digest, signature)`.

    `testing` is t=y, `strict` is t=s (the signer's i= must be exactly d=); `hashes` is h=,
    empty when all are allowed.
    """

    kind: str
    bits: int
    verifier: Any
    testing: bool = False
    strict: bool = False
    hashes: frozenset[str] = frozenset()


class Revoked(ValueError):
    """The record is there and says that the key is no longer (empty p=)."""


class _Rsa:
    """An RSA key with the face of a NaCl one, which dkimpy asks to verify by itself."""

    __slots__ = ("_key",)

    def __init__(self, exponent: int, modulus: int) -> None:
        self._key = rsa.RSAPublicNumbers(exponent, modulus).public_key()

    def verify(self, digest: bytes, signature: bytes) -> None:
        """Return when right; raise what dkimpy expects when wrong."""
        try:
            self._key.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(SHA256()))
        except (InvalidSignature, ValueError):
            raise nacl.exceptions.BadSignatureError("wrong") from None


@functools.lru_cache(maxsize=4096)
def read_key(record: bytes) -> Key:
    """Read one key record; parsed keys are kept, since a few senders send most mail."""
    if len(record) > RECORD_MAX:
        raise ValueError(f"key record of {len(record)} octets")
    tags = _tags(record)
    if tags.get(b"p", b"missing").strip() == b"":
        raise Revoked("key revoked")
    kind, bits, verifier = _public(record, tags)
    flags = {flag.strip() for flag in tags.get(b"t", b"").split(b":")}
    services = {word.strip() for word in tags.get(b"s", b"*").split(b":")}
    if not services & {b"*", b"email"}:
        raise ValueError("key is not for mail (s=)")
    hashes = (word.strip().decode("ascii", "replace") for word in tags.get(b"h", b"").split(b":"))
    return Key(kind, bits, verifier, b"y" in flags, b"s" in flags, frozenset(filter(None, hashes)))


def _tags(record: bytes) -> dict[bytes, bytes]:
    try:
        tags: dict[bytes, bytes] = dkim.util.parse_tag_value(record)
    except dkim.util.InvalidTagValueList as error:
        raise ValueError(f"key record is no tag list: {error}") from None
    if tags.get(b"v", b"DKIM1") != b"DKIM1":
        raise ValueError("key record is not of version DKIM1")
    return tags


def _public(record: bytes, tags: dict[bytes, bytes]) -> tuple[str, int, Any]:
    if tags.get(b"k", b"rsa") not in (b"rsa", b"ed25519"):
        raise ValueError("unknown key type (k=)")
    try:
        # the service tag is judged above; dkimpy would let some of it through
        public, bits, kind, _ = dkim.evaluate_pk("key", record)
    except (dkim.DKIMException, ValueError, TypeError, IndexError, KeyError) as error:
        raise ValueError(f"key cannot be read: {error}") from None
    if kind == b"ed25519":
        return "ed25519", 256, public
    exponent, modulus = public["publicExponent"], public["modulus"]
    if not MODULUS_MIN <= bits <= MODULUS_MAX:
        raise ValueError(f"RSA key of {bits} bits")
    if exponent.bit_length() > EXPONENT_MAX:
        raise ValueError("RSA exponent too large")
    try:
        return "rsa", bits, _Rsa(exponent, modulus)
    except ValueError as error:
        raise ValueError(f"RSA key cannot be used: {error}") from None
