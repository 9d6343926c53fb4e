"""Models on disk: a directory each, weights and a manifest that vouches for them.

    <registry>/<name>/manifest.json    what it is, where it came from, how good it was
    <registry>/<name>/weights.i8       2^18 signed octets, to be mapped into memory
    <registry>/<name>/estimator.joblib only in a user's own registry: see models/train.py

Weights are octets with one scale, not float32: 256 KiB instead of 1 MiB, mostly zeros, and
every figure on held-out mail stayed the same (sums are exact, the rounding averages out).

Fails: Misconfigured when there is no such model, or its files do not belong together.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.models import features, words

SHIPPED = Path(__file__).parent / "shipped"
WEIGHTS = "weights.i8"
MANIFEST = "manifest.json"
ESTIMATOR = "estimator.joblib"
MANIFEST_MAX = 1 << 16
STEPS_MAX = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that is known of a model but its weights.

    The logit of a mail is `intercept + scale * sum(octets) / sqrt(max(n, shortest))` for its
    n features; `calibration` maps logits to probabilities, rising, straight between the steps.
    """

    name: str
    version: str
    features: int
    bits: int
    intercept: float
    scale: float
    shortest: int
    calibration: tuple[tuple[float, float], ...]
    trained: dict[str, int]
    figures: dict[str, Any]
    sha256: str
    estimator_sha256: str = ""

    @property
    def id(self) -> str:
        """How facts and logs call it."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class Model:
    """A verified model; `weights` reads the mapped file, shared by all workers."""

    manifest: Manifest
    weights: memoryview = field(repr=False)
    path: Path


def find(name: str, registries: Sequence[Path] = ()) -> Path:
    """The directory of a model: the first registry that has it, else what ships with us."""
    if _NAME.fullmatch(name):
        for registry in (*registries, SHIPPED):
            if (registry / name / MANIFEST).is_file():
                return registry / name
    have = ", ".join(path.name for path in every(registries)) or "none"
    raise Misconfigured(Fault(f"there is no model {name!r}", f"There are: {have}."))


def every(registries: Sequence[Path] = ()) -> list[Path]:
    """The directories of all models, by name; an own one hides a shipped one."""
    found: dict[str, Path] = {}
    for registry in (*registries, SHIPPED):
        for path in registry.iterdir() if registry.is_dir() else ():
            if _NAME.fullmatch(path.name) and (path / MANIFEST).is_file():
                found.setdefault(path.name, path)
    return [found[name] for name in sorted(found)]


def manifest(path: Path) -> Manifest:
    """Read and check a model's manifest."""
    place = path / MANIFEST
    try:
        with place.open("rb") as file:
            given = json.loads(file.read(MANIFEST_MAX))
        table = tuple((float(at), float(share)) for at, share in given["calibration"])
        known = Manifest(**{**given, "calibration": table})
    except (OSError, ValueError, TypeError, KeyError) as trouble:
        raise _broken(place, f"this is not a model's manifest: {trouble}") from None
    if (known.features, known.bits) != (features.VERSION, words.BITS):
        raise _broken(place, f"made for features {known.features}, we read {features.VERSION}")
    if not 1 <= len(table) <= STEPS_MAX or list(table) != sorted(table):
        raise _broken(place, "the calibration does not rise, or is empty or too long")
    return known


def load(path: Path) -> Model:
    """Map a model's weights, after their SHA-256 matched the manifest."""
    known = manifest(path)
    place = path / WEIGHTS
    try:
        with place.open("rb") as file:
            if os.fstat(file.fileno()).st_size != features.SIZE:
                raise _broken(place, f"weights are {features.SIZE} octets")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as trouble:
        raise _broken(place, f"cannot be read: {trouble.strerror}") from None
    if hashlib.sha256(mapped).hexdigest() != known.sha256:
        raise _broken(place, "the weights are not those that the manifest names")
    return Model(known, memoryview(mapped).cast("b"), path)


def save(registry: Path, known: Manifest, weights: bytes, estimator: bytes = b"") -> Path:
    """Write a model whole or not at all, in place of one with the same name."""
    if not _NAME.fullmatch(known.name):
        raise Misconfigured(Fault(f"{known.name!r} cannot name a model", "Use a-z, 0-9, - . _"))
    registry.mkdir(parents=True, exist_ok=True)
    target = registry / known.name
    with tempfile.TemporaryDirectory(dir=registry, prefix=".new-") as directory:
        new = Path(directory) / "new"
        new.mkdir()
        (new / WEIGHTS).write_bytes(weights)
        (new / MANIFEST).write_text(json.dumps(asdict(known), indent=1) + "\n")
        if estimator:
            (new / ESTIMATOR).write_bytes(estimator)
        if target.exists():
            target.rename(Path(directory) / "old")  # leaves with the temporary directory
        new.rename(target)
    return target


def verified(path: Path, name: str, sha256: str) -> bytes:
    """A file's bytes, only if they have the hash that the manifest says."""
    data = (path / name).read_bytes() if (path / name).is_file() else b""
    if not sha256 or hashlib.sha256(data).hexdigest() != sha256:
        raise _broken(path / name, "this file is not the one that the manifest names")
    return data


def _broken(place: Path, sentence: str) -> Misconfigured:
    return Misconfigured(Fault(sentence, "Train or install the model again.", Place(str(place))))
