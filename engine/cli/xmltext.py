"""Text that XML can hold: what it has no way to write becomes a question mark."""

from __future__ import annotations

import re

# XML 1.0 §2.2: not even a character reference may stand for the others
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def writable(text: str) -> str:
    """The text, without what XML cannot write; markup is the writer's to escape."""
    return _UNWRITABLE.sub("?", text)
