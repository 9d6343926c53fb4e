"""Master files: the DNS as text, as name servers read it.

RFC 1035 §5.  dnspython reads them; `$TTL` may be missing, names may belong to any zone, and
several zones may stand in one file.  Of the directives only `$ORIGIN` and `$TTL` are obeyed:
files, and names by the million, have no place in what somebody sends along with a mail.

Fails: `records` raises `Misconfigured` with the line.
"""

from __future__ import annotations

import re
from typing import Any

import dns.exception
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.zonefile

from millrace.engine.errors import Fault, Misconfigured, Place

TTL = 300
_LINE = re.compile(r"^zone:(\d+): ")


def records(text: str, source: str) -> dict[str, dict[str, list[Any]]]:
    """The records as `ZoneDns.of` takes them: by name, by type."""
    table = _Table()
    tokens = _Tokens(text, "zone")
    try:
        reader = dns.zonefile.Reader(
            tokens,
            dns.rdataclass.IN,
            table,
            allow_directives=("$ORIGIN", "$TTL"),
            default_ttl=TTL,
        )
        reader.read()
    except (dns.exception.DNSException, ValueError, RecursionError) as error:
        raise _fault(error, source) from None
    return table.records


class _Tokens(dns.tokenizer.Tokenizer):
    """Words of a file; the last one of a line still belongs to that line."""

    def where(self) -> tuple[str, int]:
        name, line = super().where()
        return name, line - (self.ungotten_char == "\n")


class _Table(dns.zonefile.RRsetsReaderTransaction):
    """What the reader writes to: names of all zones, side by side; nothing is committed."""

    def __init__(self) -> None:
        super().__init__(dns.zonefile.RRSetsReaderManager(), True, False)  # type: ignore[no-untyped-call]
        self.records: dict[str, dict[str, list[Any]]] = {}

    def add(self, *record: Any) -> None:  # noqa: ANN401 - a name, a TTL and the data
        """Take one record."""
        name, _, rdata = record
        kind = dns.rdatatype.to_text(rdata.rdtype)
        found = self.records.setdefault(name.to_text(omit_final_dot=True), {}).setdefault(kind, [])
        if kind != "TXT":
            found.append(rdata.to_text())
            return
        found.append([piece.decode("utf-8", "surrogateescape") for piece in rdata.strings])


def _fault(error: Exception, source: str) -> Misconfigured:
    words = str(error)
    told = _LINE.match(words)
    line = int(told[1]) if told else 0
    sentence = f"is no master file: {words[told.end() :] if told else words}"
    return Misconfigured(Fault(sentence, place=Place(source, line)))
