"""Received: the trace field that every server puts on top of a mail it takes.

RFC 5321 §4.4 (form), §6.3 (loops), RFC 3848 and RFC 6531 §4.3 (the word after "with").
"""

from __future__ import annotations

import datetime
import email.utils
import re

from millrace.engine.mail.edits import field_of
from millrace.engine.mail.headers import Field
from millrace.engine.mail.session import Helo, Peer, Tls

HOPS_MAX = 100  # RFC 5321 §6.3: "SHOULD be at least 100"
_UNFIT = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


def received(
    mail_id: str, name: str, peer: Peer, helo: Helo, tls: Tls | None, *, now: float, utf8: bool
) -> Field:
    """The field for one mail; `now` in Unix seconds."""
    said = _UNFIT.sub("?", helo.name) or "?"
    # RFC 5321 §4.1.3: the address literal of IPv6 carries its tag
    literal = f"IPv6:{peer.ip}" if ":" in peer.ip else peer.ip or "local"
    seen = f"{_UNFIT.sub('?', peer.rdns) or 'unknown'} [{literal}]"
    date = email.utils.format_datetime(datetime.datetime.fromtimestamp(now, datetime.UTC))
    value = (
        f"from {said} ({seen})\n"
        f"\tby {name} (Millrace) with {_protocol(helo, tls, utf8)} id {mail_id};\n"
        f"\t{date}"
    )
    return field_of("Received", value)


def _protocol(helo: Helo, tls: Tls | None, utf8: bool) -> str:
    word = "UTF8SMTP" if utf8 else "ESMTP" if helo.extended else "SMTP"
    return word + ("S" if tls is not None else "")
