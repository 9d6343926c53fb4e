"""Virus: does the scanner know something evil in this mail?

clamd by INSTREAM, over a Unix or TCP socket.  A mail above the size limit is not sent:
clamd would break the connection, and the fact says "too-large" instead of "clean".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from millrace.engine.mail.finding import Fact
from millrace.engine.mail.message import Message
from millrace.engine.options import Octets, Seconds
from millrace.engine.ports import Scanner


@dataclass(frozen=True, slots=True)
class Virus(Fact):
    """`found` is the name of what was found, "" when nothing was."""

    result: Literal["clean", "found", "too-large"]
    found: str = ""
    engine: str = ""


@dataclass(frozen=True, slots=True)
class ScanVirus:
    """Have the whole mail scanned."""

    socket: Annotated[str, "clamd's socket: a path, or host:port"] = "/run/clamav/clamd.ctl"
    size_max: Annotated[Octets, "larger mails are not scanned (clamd's StreamMaxLength)"] = Octets(
        25 << 20
    )
    patience: Annotated[Seconds, "how long clamd may be silent"] = Seconds(8.0)

    async def run(self, message: Message, scanner: Scanner) -> Virus:
        if message.size > self.size_max:
            return Virus("too-large")
        scan = await scanner.scan(message, self.socket, self.patience)
        return Virus("found" if scan.found else "clean", scan.found, scan.engine)
