"""A model is loaded only when its files belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from millrace.engine.errors import Misconfigured
from millrace.models import registry


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(registry.SHIPPED / "default", tmp_path / "default"))


def change(path: Path, **entries: object) -> None:
    place = path / registry.MANIFEST
    place.write_text(json.dumps({**json.loads(place.read_text()), **entries}))


def test_own_model_hides_a_shipped_one_of_that_name(copy: Path) -> None:
    assert registry.find("default", (copy.parent,)) == copy
    assert registry.every((copy.parent,)) == [copy]
    assert registry.find("default") == registry.SHIPPED / "default"


def test_exchanged_weights_are_refused(copy: Path) -> None:
    weights = copy / registry.WEIGHTS
    weights.write_bytes(b"\x01" + weights.read_bytes()[1:])
    with pytest.raises(Misconfigured, match="not those that the manifest names"):
        registry.load(copy)


def test_cut_weights_are_refused(copy: Path) -> None:
    (copy / registry.WEIGHTS).write_bytes(b"")
    with pytest.raises(Misconfigured, match="262144 octets"):
        registry.load(copy)


def test_missing_weights_are_named(copy: Path) -> None:
    (copy / registry.WEIGHTS).unlink()
    with pytest.raises(Misconfigured, match=r"weights\.i8"):
        registry.load(copy)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"features": 99}, "made for features 99"),
        ({"calibration": []}, "calibration"),
        ({"calibration": [[1, 0.5], [0, 0.6]]}, "calibration"),
        ({"calibration": "x"}, "not a model's manifest"),
        ({"surprise": 1}, "not a model's manifest"),
    ],
)
def test_manifest_that_does_not_fit_is_refused(copy: Path, entries, words) -> None:
    change(copy, **entries)
    with pytest.raises(Misconfigured, match=words):
        registry.load(copy)


@pytest.mark.parametrize("name", ["../default", "", ".", "a/b", "A B"])
def test_names_cannot_lead_out_of_the_registry(name: str) -> None:
    with pytest.raises(Misconfigured, match="there is no model"):
        registry.find(name, (registry.SHIPPED,))


def test_saving_replaces_a_model_whole(tmp_path: Path) -> None:
    loaded = registry.load(registry.SHIPPED / "default")
    for _ in range(2):
        path = registry.save(tmp_path, loaded.manifest, bytes(loaded.weights))
    assert registry.load(path).manifest == loaded.manifest
    assert [entry.name for entry in tmp_path.iterdir()] == ["default"]
