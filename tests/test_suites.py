"""The table of suites: rows are told, new departures fail, and so do stale ones."""

import pytest
from suites import Row, Suites, departures, table


def test_a_case_that_goes_wrong_unannounced_fails_its_suite():
    with pytest.raises(AssertionError, match="b: wants pass"):
        Suites().hold("one", 3, {"a": "known", "b": "wants pass"}, {"a": "the RFC leaves it open"})


def test_a_departure_that_passes_by_now_fails_its_suite():
    with pytest.raises(AssertionError, match="strike them"):
        Suites().hold("one", 3, {}, {"a": "the RFC leaves it open"})


def test_a_suite_without_any_case_fails():
    with pytest.raises(AssertionError, match="no case"):
        Suites().hold("one", 0, {}, {})


def test_what_holds_is_told_with_its_departures():
    suites = Suites()
    suites.hold("one", 3, {"a": "wrong"}, {"a": "because"})
    assert suites.rows == [Row("one", 3, 2, {"a": "because"})]
    assert [line.split() for line in table(suites.rows)] == [
        ["suite", "cases", "passed", "departures"],
        ["one", "3", "2", "1"],
        ["a:", "because"],
    ]


def test_departures_are_read_for_their_suite_alone(tmp_path):
    file = tmp_path / "departures.toml"
    file.write_text('[[departure]]\nsuite = "one"\ncase = "a"\nreason = "so"\n')
    assert departures(file, "one") == {"a": "so"}
    assert departures(file, "two") == {}
