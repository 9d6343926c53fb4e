"""The stages of a mail, in the order in which the wire tells them.  RFC 5321 §3.3.

SETTLED comes after judgement: the verdict is known, edits are applied, and mail that
we take is archived and signed.
"""

from __future__ import annotations

from enum import IntEnum


class Stage(IntEnum):
    """When a thing is known."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    HEADERS = 4
    BODY = 5
    SETTLED = 6
