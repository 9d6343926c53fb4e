"""Keys from a seed, and a DKIM signer for the bench's mails.

RFC 6376, RFC 8463.  Written apart from the engine, so that the engine's verifier is tried
on signatures that it did not make.  Keys of a known seed protect nothing, and need not.
"""

from __future__ import annotations

import base64
import hashlib
import math
import random
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

BITS = 2048
SIGNED = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")
_BLANKS = re.compile(rb"[ \t]+")
_SMALL = [n for n in range(3, 2000) if all(n % d for d in range(2, math.isqrt(n) + 1))]


@dataclass(frozen=True)
class Key:
    """A private key, its selector, and the TXT record that shows its public half."""

    selector: str
    algorithm: str
    secret: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    record: str

    def sign(self, data: bytes) -> bytes:
        """The signature of these octets, as DKIM wants it."""
        if isinstance(self.secret, rsa.RSAPrivateKey):
            return self.secret.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.secret.sign(hashlib.sha256(data).digest())


def rsa_key(chance: random.Random, bits: int = BITS) -> Key:
    """An RSA key, of 2,048 bits where nothing is said."""
    p, q = _prime(chance, bits), _prime(chance, bits)
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    secret = rsa.RSAPrivateNumbers(p, q, d, *crt, public).private_key()
    shown = secret.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Key("r1", "rsa-sha256", secret, f"v=DKIM1; k=rsa; p={_text(shown)}")


def ed25519_key(chance: random.Random) -> Key:
    """An Ed25519 key."""
    secret = ed25519.Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
    shown = secret.public_key().public_bytes_raw()
    return Key("e1", "ed25519-sha256", secret, f"v=DKIM1; k=ed25519; p={_text(shown)}")


def signature(head: bytes, body: bytes, domain: str, key: Key) -> bytes:
    """A DKIM-Signature field, relaxed/relaxed, for a header section and a body."""
    kept = body.rstrip(b"\r\n").split(b"\r\n")
    relaxed = b"\r\n".join(_BLANKS.sub(b" ", line).rstrip(b" ") for line in kept) + b"\r\n"
    fields = {name.lower(): value for name, value in _fields(head)}
    names = [name for name in SIGNED if name in fields]
    value = (
        f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={domain}; s={key.selector};\r\n"
        f"\th={':'.join(names)};\r\n\tbh={_text(hashlib.sha256(relaxed).digest())};\r\n\tb="
    ).encode()
    signed = b"".join(_relaxed(name, fields[name]) + b"\r\n" for name in names)
    digest = key.sign(signed + _relaxed("dkim-signature", value))
    return b"DKIM-Signature: " + value + _text(digest).encode() + b"\r\n"


def _fields(head: bytes) -> list[tuple[str, bytes]]:
    lines = re.split(rb"\r\n(?![ \t])", head.removesuffix(b"\r\n"))
    pairs = [line.partition(b":") for line in lines]
    return [(name.decode(), value) for name, _, value in pairs]


def _relaxed(name: str, value: bytes) -> bytes:
    text = _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.encode() + b":" + text


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _prime(chance: random.Random, bits: int) -> int:
    while True:
        candidate = chance.getrandbits(bits // 2) | 3 << bits // 2 - 2 | 1
        if math.gcd(candidate - 1, 65537) == 1 and _is_prime(candidate):
            return candidate


def _is_prime(n: int) -> bool:
    """Miller-Rabin; eight bases are plenty for keys of a bench."""
    if any(n % small == 0 for small in _SMALL):
        return False
    twos = (n - 1 & 1 - n).bit_length() - 1
    return all(_witness(n, base, twos) for base in (2, 3, 5, 7, 11, 13, 17, 19))


def _witness(n: int, base: int, twos: int) -> bool:
    x = pow(base, n - 1 >> twos, n)
    for _ in range(twos):
        if x in (1, n - 1):
            return True
        x = x * x % n
        if x == 1:
            return False
    return False
