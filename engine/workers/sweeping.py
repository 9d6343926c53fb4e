"""What a crash left behind, swept up before there is any child, and said.

The archive indexes mails that are on disk and not in its index, and cuts torn ends off; a
Maildir loses what was half written.  Nothing that a living process writes is touched: an
older daemon may still serve while this one starts.  Spool files have no names, so that
none is left; the decision log ends half a line by itself.

Fails: never; what cannot be swept is said, and whoever needs it says so again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from millrace.engine.errors import Unavailable
from millrace.engine.pipeline.plan import Plan
from millrace.engine.settings import Settings
from millrace.engine.store.archive import Archive
from millrace.engine.store.maildir import Maildir

_log = logging.getLogger("millrace.sweep")
_MAILDIR = "maildir:"


def sweep(settings: Settings, plans: Iterable[Plan], *, heir: bool = False) -> None:
    """Look at all that these settings let mails be written to.

    `heir`: the workers of the version before still serve, and what they have not indexed yet
    tells of no crash.
    """
    if any(port == "store" for plan in plans for node in plan.nodes for _, port in node.ports):
        _archive(settings.at(settings.archive.path), heir=heir)
    hops = {each.deliver for each in settings.listener if each.deliver.startswith(_MAILDIR)}
    for hop in sorted(hops):
        _maildir(settings.at(Path(hop.removeprefix(_MAILDIR))))


def _archive(folder: Path, *, heir: bool) -> None:
    try:
        opened = Archive(folder).opened
    except Unavailable as error:
        _log.warning("%s: %s", error.what, error.detail)
        return
    if opened.torn or (opened.indexed and not heir):
        _log.warning(
            "archive %s: after a crash %d records were indexed, %d octets of a torn one cut off",
            folder,
            opened.indexed,
            opened.torn,
        )


def _maildir(folder: Path) -> None:
    try:
        swept = Maildir(folder).sweep()
    except OSError as error:
        _log.warning("maildir %s: %s", folder, error)
        return
    if swept:
        _log.warning("maildir %s: %d half written mails of a crash were removed", folder, swept)
