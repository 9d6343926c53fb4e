"""What the drill takes for well: as it was while nothing failed, or better."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.engine.chaos.site import Site


class Told(Site):
    """A copy that answers what it is told to."""

    def __init__(self) -> None:
        self.wounded, self._usual, self.status = set(), {"ready"}, "ready"
        self.workers = [{"pid": 1, "phase": "serving"}, {"pid": 2, "phase": "serving"}]

    def page(self, path: str) -> dict[str, Any]:
        if not self.status:
            raise ConnectionError("nobody answers")
        return {"status": self.status, "workers": self.workers}


def test_service_that_is_found_away_while_mails_flow_is_usual():
    site = Told()
    site.look()
    site.status = "degraded"
    assert not site.well()
    site.look()
    assert site.well()
    site.status = "ready"
    assert site.well()


@pytest.mark.parametrize("status", ["degraded", "down", ""])
def test_what_was_not_so_before_is_not_well(status):
    site = Told()
    site.look()
    site.status = status
    assert not site.well()


def test_copy_that_is_too_busy_to_say_how_it_is_leaves_the_usual_as_it_was():
    site = Told()
    site.status = ""
    site.look()
    site.status = "ready"
    assert site.well()


def test_wounded_worker_must_be_replaced_and_all_must_serve():
    site = Told()
    site.wounded.add(2)
    assert not site.well()
    site.workers = [{"pid": 1, "phase": "serving"}, {"pid": 3, "phase": "starting"}]
    assert not site.well()
    site.workers[1]["phase"] = "serving"
    assert site.well()
