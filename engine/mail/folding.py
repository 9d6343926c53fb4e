"""Folded lines of a header field, made one again.  RFC 5322 §2.2.3.

Fails: never.
"""


def unfold(value: bytes) -> bytes:
    """Undo folding and strip outer blanks."""
    if b"\n" in value or b"\r" in value:
        value = value.replace(b"\r", b"").replace(b"\n", b"")
    return value.strip(b" \t")
