"""Every scenario of `millrace chaos`, on a copy with real services behind the proxies."""

from __future__ import annotations

import pytest
from live.chaos.scene import Scene

from millrace.engine.chaos.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.live


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_nothing_is_lost_and_all_is_as_before(scene: Scene, scenario: Scenario) -> None:
    if scenario.service == "clamd":
        scene.virus = "defer"
    report = scene.drill(scenario)
    if scenario.service == "state":  # whoever waits, waits once for each time-out of 0.5 s
        assert report.slowest < 8
    if scenario.service == "clamd":
        assert report.verdicts["defer"] > 0
