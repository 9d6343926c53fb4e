"""What differs between two revisions, lists and whole files too."""

from millrace.engine.difference import Section, sections
from millrace.engine.policy.difference import Change
from millrace.engine.store.history import KeptList, Snapshot


def snapshot(lists=None, **files: str) -> Snapshot:
    return Snapshot(
        "r", {}, {name.replace("_", "/"): text for name, text in files.items()}, lists or {}
    )


def of_lists(old, new) -> list[str]:
    found = sections(snapshot({"l": old} if old else {}), snapshot({"l": new} if new else {}))
    return [change.sentence for section in found for change in section.changes]


def test_files_are_compared_by_their_kind_and_name():
    old = snapshot(pipelines_in='policy = "a"\n', policies_a="", policies_b="")
    new = snapshot(pipelines_in='policy = "c"\n', policies_a="", policies_c="")
    assert sections(old, new) == [
        Section("pipeline in", (Change("the pipeline has another policy", "a", "c"),)),
        Section("policy b", (Change("no longer serves"),)),
        Section("policy c", (Change("is new"),)),
    ]
    assert sections(old, old) == []


def test_file_that_is_no_toml_is_told_as_such():
    (found,) = sections(snapshot(policies_a=""), snapshot(policies_a="a ="))
    assert found.changes[0].sentence.startswith("is not TOML")


def test_entries_that_a_list_gained_and_lost_are_named():
    old = KeptList("map", 3, "1", "a = 1\nb = 2\nc = 3\n")
    new = KeptList("map", 3, "2", "a = 1\nb = 5\nd = 4 # new\n")
    assert of_lists(old, new) == ["`l` gained d and lost c and says otherwise of b"]
    assert of_lists(old, KeptList("map", 3, "3", (old.text or "") + "#\n")) == [
        "`l` has other comments"
    ]


def test_many_entries_are_counted_after_the_first_few():
    many = KeptList("domains", 8, "2", "".join(f"a{n}.example\n" for n in range(8)))
    (sentence,) = of_lists(KeptList("domains", 0, "1", ""), many)
    assert sentence.endswith("a4.example and 3 more")


def test_list_too_large_to_keep_is_told_by_its_numbers():
    large, larger = KeptList("domains", 10, "1"), KeptList("domains", 12, "2")
    assert of_lists(large, larger) == ["`l` has 12 entries where it had 10"]
    assert of_lists(None, large) == ["`l` is new: 10 entries"]
    assert of_lists(large, None) == ["`l` is gone: it had 10 entries"]


def test_overlay_is_told_by_its_rules_and_for_whom_it_is():
    old = snapshot(overlays_acme='for = { login = "a" }\n[[rule]]\nname = "r"\nthen = "tag"\n')
    new = snapshot(overlays_acme='for = { login = "b" }\n[[rule]]\nname = "r"\nthen = "reject"\n')
    assert sections(old, new) == [
        Section(
            "overlay acme",
            (
                Change("the overlay has another for", "{'login': 'a'}", "{'login': 'b'}"),
                Change("`r` now refuses where it tagged"),
            ),
        )
    ]
