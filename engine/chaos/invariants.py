"""What must hold whatever fails: checked by answers, archive, mailbox and log.

- no mail that was accepted is missing from the archive or at its recipient;
- none is in the archive twice, and none is there in part;
- filters that failed had the effect that their `on_error` declares;
- a service that is away never costs an answer or a connection, nor refuses a mail for good;
- all is as before within `RECOVERY_S` of the fault's end.

Pure: `broken` gives one sentence for each that does not hold, none when all do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millrace.engine.chaos.mails import Answer
from millrace.engine.mail.verdict import Action
from millrace.engine.pipeline.spec import FilterSpec

RECOVERY_S = 60.0
_SHOWN_MAX = 5
_STOPS = {Action.DEFER: ("defer", "reject"), Action.REJECT: ("reject",)}
_UNANSWERED = ("hung up", "away")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a drill saw.  `hurt`: processes were, so connections may be lost."""

    answers: Sequence[Answer]
    archived: Counter[int]
    delivered: Counter[int]
    records: Sequence[Mapping[str, Any]]
    filters: Sequence[FilterSpec]
    recovery: float | None
    hurt: bool


def broken(seen: Seen) -> list[str]:
    """The invariants that do not hold."""
    by_number = {_number(record): record for record in seen.records}
    found = [*_lost(seen, by_number), *_doubled(seen), *_unanswered(seen)]
    found += [*_undeclared(seen), *_refused(seen)]
    if seen.recovery is None:
        found.append(f"{RECOVERY_S:g} s after its end not all was as before")
    return found


def _number(record: Mapping[str, Any]) -> int:
    """Milter mails are named by the queue id that we gave; others have names of their own."""
    word = str(record["id"])
    return int(word[2:], 16) if len(word) == 10 and word.startswith("4B") else -1


def _lost(seen: Seen, by_number: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    taken = [answer for answer in seen.answers if answer.verdict == "accept"]
    keeper = next((each for each in seen.filters if _archives(each)), None)
    if keeper is not None:
        missing = [
            answer.number
            for answer in taken
            if not seen.archived[answer.number] and _kept(by_number.get(answer.number), keeper)
        ]
        yield from _told(missing, "accepted and not in the archive")
    at_door = [answer.number for answer in taken if answer.door == "smtp"]
    yield from _told([n for n in at_door if not seen.delivered[n]], "accepted and not delivered")


def _archives(each: FilterSpec) -> bool:
    return any(port.name == "store" for port in each.contract.ports)


def _kept(record: Mapping[str, Any] | None, keeper: FilterSpec) -> bool:
    """Whether the archive was to hold it: by the record, or as every mail is."""
    if record is None:
        return keeper.when is None and keeper.on_error in _STOPS
    return any(run["name"] == keeper.name and run["state"] == "ran" for run in record["filters"])


def _doubled(seen: Seen) -> Iterator[str]:
    yield from _told(_above_one(seen.archived), "in the archive more than once")
    yield from _told(_above_one(seen.delivered), "delivered more than once")
    for what, found in (("archive", seen.archived), ("mailbox", seen.delivered)):
        if found[-1]:
            yield f"{found[-1]} in the {what} are not whole"


def _above_one(found: Counter[int]) -> list[int]:
    return [number for number, count in found.items() if count > 1 and number >= 0]


def _unanswered(seen: Seen) -> Iterator[str]:
    silent = [answer.number for answer in seen.answers if answer.verdict == "silent"]
    yield from _told(silent, "never answered")
    if not seen.hurt:
        lost = [answer.number for answer in seen.answers if answer.verdict in _UNANSWERED]
        yield from _told(lost, "without an answer, though no process was hurt")


def _undeclared(seen: Seen) -> Iterator[str]:
    """Filters whose failure did not have the declared effect."""
    declared = {each.name: each.on_error for each in seen.filters}
    for name, on_error in declared.items():
        failed = [record for record in seen.records if _state(record, name) == "failed"]
        if on_error in _STOPS:
            wrong = [each for each in failed if each["action"] not in _STOPS[on_error]]
        else:
            wrong = [each for each in failed if _because_of(each, name)]
        word = on_error.word if on_error is not None else "skip"
        yield from _told(
            [str(each["id"]) for each in wrong], f"not judged by {name}'s on_error ({word})"
        )


def _state(record: Mapping[str, Any], name: str) -> str:
    return next((str(run["state"]) for run in record["filters"] if run["name"] == name), "")


def _because_of(record: Mapping[str, Any], name: str) -> bool:
    refused = record["action"] in ("defer", "reject")
    return bool(refused and record["because"]["rule"] == name)


def _refused(seen: Seen) -> Iterator[str]:
    if any(each.on_error is Action.REJECT for each in seen.filters):
        return
    answers = Counter(answer.verdict for answer in seen.answers)
    if answers["reject"] and answers["accept"]:
        refused = [answer.number for answer in seen.answers if answer.verdict == "reject"]
        yield from _told(refused, "refused for good, where others were taken")


def _told(numbers: Iterable[object], what: str) -> Iterator[str]:
    found = [str(number) for number in numbers]
    if found:
        more = ", …" if len(found) > _SHOWN_MAX else ""
        yield f"{len(found)} {what}: {', '.join(found[:_SHOWN_MAX])}{more}"
