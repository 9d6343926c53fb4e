"""Each invariant is broken once: a drill must tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from millrace.engine.chaos.invariants import Seen, broken
from millrace.engine.chaos.mails import Answer
from millrace.engine.plans import load_spec
from millrace.engine.settings import load

PIPELINE = """
policy = "default"
[[filter]]
use = "greylist"
[[filter]]
use = "virus"
on_error = "defer"
[[filter]]
use = "archive"
"""


@pytest.fixture
def sound(tmp_path: Path) -> Seen:
    """Two mails at each door, all of them taken."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "inbound.toml").write_text(PIPELINE)
    (tmp_path / "millrace.toml").write_text('profile = "production"\n')
    spec = load_spec(load(tmp_path / "millrace.toml"), "inbound")
    doors = {1: "milter", 2: "milter", 3: "smtp", 4: "smtp"}
    return Seen(
        answers=[Answer(n, door, "accept", 0.0, 1.0) for n, door in doors.items()],
        archived=Counter(dict.fromkeys(doors, 1)),
        delivered=Counter({3: 1, 4: 1}),
        records=[record(1), record(2)],
        filters=spec.filters,
        recovery=0.5,
        hurt=False,
    )


def record(number: int, *, rule: str = "", action: str = "pass", **states: str) -> dict[str, Any]:
    runs = {"greylist": "ran", "virus": "ran", "archive": "ran"} | states
    return {
        "id": f"4B{number:08X}",
        "action": action,
        "because": {"rule": rule},
        "filters": [{"name": name, "state": state} for name, state in runs.items()],
    }


def answer(number: int, verdict: str, door: str = "milter") -> Answer:
    return Answer(number, door, verdict, 0.0, 1.0)


def test_a_sound_drill_breaks_nothing(sound: Seen) -> None:
    assert broken(sound) == []


def test_an_accepted_mail_that_the_archive_has_not_is_lost(sound: Seen) -> None:
    seen = replace(sound, archived=sound.archived - Counter([1, 4]))
    assert broken(seen) == ["2 accepted and not in the archive: 1, 4"]


def test_a_mail_that_the_record_says_was_not_archived_is_not_missed(sound: Seen) -> None:
    seen = replace(
        sound,
        archived=sound.archived - Counter([1]),
        records=[record(1, archive="skipped"), record(2)],
    )
    assert broken(seen) == []


def test_an_accepted_mail_without_its_delivery_is_lost(sound: Seen) -> None:
    assert broken(replace(sound, delivered=Counter([3]))) == ["1 accepted and not delivered: 4"]


def test_a_mail_that_is_kept_or_delivered_twice_is_told(sound: Seen) -> None:
    seen = replace(
        sound, archived=sound.archived + Counter([2]), delivered=sound.delivered + Counter([3])
    )
    assert broken(seen) == ["1 in the archive more than once: 2", "1 delivered more than once: 3"]


def test_half_a_mail_is_told(sound: Seen) -> None:
    seen = replace(sound, delivered=sound.delivered + Counter([-1]))
    assert broken(seen) == ["1 in the mailbox are not whole"]


def test_silence_is_told_and_a_lost_connection_where_no_process_was_hurt(sound: Seen) -> None:
    answers = [*sound.answers, answer(5, "silent"), answer(6, "hung up"), answer(7, "away")]
    seen = replace(sound, answers=answers)
    words = "2 without an answer, though no process was hurt: 6, 7"
    assert broken(seen) == ["1 never answered: 5", words]
    assert broken(replace(seen, hurt=True)) == ["1 never answered: 5"]


def test_a_failed_filter_that_defers_by_declaration_must_defer(sound: Seen) -> None:
    seen = replace(sound, records=[record(1, virus="failed"), record(2)])
    assert broken(seen) == ["1 not judged by virus's on_error (defer): 4B00000001"]
    deferred = record(1, virus="failed", action="defer", rule="virus")
    assert broken(replace(seen, records=[deferred, record(2)])) == []


def test_a_failed_filter_that_is_skipped_by_declaration_must_not_defer(sound: Seen) -> None:
    deferred = record(1, greylist="failed", action="defer", rule="greylist")
    seen = replace(sound, records=[deferred, record(2)])
    assert broken(seen) == ["1 not judged by greylist's on_error (skip): 4B00000001"]


def test_a_refusal_for_good_is_told_where_others_are_taken(sound: Seen) -> None:
    seen = replace(sound, answers=[*sound.answers, answer(9, "reject")])
    assert broken(seen) == ["1 refused for good, where others were taken: 9"]


def test_what_never_comes_back_is_told(sound: Seen) -> None:
    assert broken(replace(sound, recovery=None)) == ["60 s after its end not all was as before"]
