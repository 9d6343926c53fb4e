"""Archive: keep the mail as it will be delivered, before it is accepted.

Asks for `Edited`, so it runs last and only for mail that we take.  Returns when the mail
is on disk; when the disk refuses, the mail is deferred (its `on_error` is "defer").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from millrace.engine.mail.edits import Edited
from millrace.engine.mail.finding import Fact
from millrace.engine.options import Seconds
from millrace.engine.ports import Clock, Store


@dataclass(frozen=True, slots=True)
class Archived(Fact):
    """Proof of keeping: SHA-256 and octets; `known` when the same content was there before."""

    sha256: str
    size: int
    known: bool


@dataclass(frozen=True, slots=True)
class KeepArchive:
    """Keep every mail that we take."""

    keep: Annotated[Seconds, "how long it is kept at least; 0s is for ever"] = Seconds(0.0)

    async def run(self, edited: Edited, store: Store, clock: Clock) -> Archived:
        receipt = await store.keep(edited, clock.now(), self.keep)
        return Archived(receipt.sha256, receipt.size, receipt.known)
