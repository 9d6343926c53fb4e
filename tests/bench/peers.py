"""The filters that we are measured against, from Debian's packages.

    peer_small     one process with one settings file: libmilter, OpenDKIM, OpenDMARC, pyspf-milter
    peer_rspamd    with redis and clamd, in the variants that do what ours do
    peer_site      redis and clamd, which ours and theirs share

A peer is a function of a `Site` that gives a `Target`, or raises `Absent` and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import peer_rspamd as rspamd
from . import peer_small as small
from .peer_site import Site
from .stack import Target


@dataclass(frozen=True)
class Peer:
    """One that we are measured against.

    `mails` is how many of the corpus' mails it is sent, for one that takes a second each.
    `results` means that it must find Authentication-Results, as from an OpenDKIM before it.
    """

    name: str
    start: Callable[[Site], Target]
    mails: int | None = None
    results: bool = False


PEERS = {
    peer.name: peer
    for peer in (
        Peer("libmilter", small.libmilter),
        Peer("opendkim", small.opendkim),
        Peer("opendmarc", small.opendmarc, results=True),
        Peer("pyspf-milter", small.pyspf),
        Peer("clamav-milter", small.clamav),
        Peer("spamassassin", small.spamassassin, mails=12),
        Peer("rspamd auth", rspamd.auth),
        Peer("rspamd", rspamd.core),
        Peer("rspamd+clamd", rspamd.scanning),
    )
}
