"""Classify: how likely is this mail spam, and which words say so?

Serves what models/train.py made, with the standard library alone: workers never import
scikit-learn, numpy or scipy (114 MiB, and 130 µs for a row that is ready).

GTUBE, the fixed test pattern, is a flag beside the probability; nobody learns it.

Fails: Misconfigured while loading; `score` never, whatever the bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path

from millrace.engine.mail.message import Message
from millrace.engine.mail.score import Score
from millrace.models import registry, text
from millrace.models.features import others
from millrace.models.registry import Manifest
from millrace.models.words import Sign, weighed

TELLING = 4  # signs named on the side that won
AGAINST = 2  # and on the other side
LEAST = 8  # octets (of 127) below which a word tells nothing
WORD_MAX = 60


class Classifier:
    """One loaded model."""

    def __init__(self, model: registry.Model) -> None:
        self.manifest: Manifest = model.manifest
        self._weights = model.weights
        self._logits = [logit for logit, _ in model.manifest.calibration]
        self._shares = [share for _, share in model.manifest.calibration]

    @staticmethod
    def load(path: Path) -> Classifier:
        """Load a model's directory."""
        return Classifier(registry.load(path))

    def score(self, message: Message) -> Score:
        """Judge one mail."""
        reading = text.read(message)
        count, weight, strong = weighed(
            reading.text, others(message, reading), self._weights, LEAST
        )
        length = sqrt(max(count, self.manifest.shortest))
        logit = self.manifest.intercept + self.manifest.scale * weight / length
        probability = self.probability(logit)
        return Score(
            probability=probability,
            model=self.manifest.id,
            words=self._telling(strong, probability >= 0.5),
            gtube=reading.gtube,
            unreadable=reading.unreadable,
        )

    def _telling(self, strong: Mapping[int, Sign], spam: bool) -> tuple[str, ...]:
        """The strongest signs for spam, then those against."""
        most, least = (TELLING, AGAINST) if spam else (AGAINST, TELLING)
        pairs = sorted(((self._weights[n], sign) for n, sign in strong.items()), key=_by_weight)
        told = [sign for weight, sign in reversed(pairs[-most:]) if weight > 0]
        told += [sign for weight, sign in pairs[:least] if weight < 0]
        return tuple(_shown(sign) for sign in told)

    def probability(self, logit: float) -> float:
        """Calibrated: straight lines between the steps of the table, flat beyond its ends."""
        at = bisect_right(self._logits, logit)
        if at == 0 or at == len(self._logits):
            return self._shares[max(at - 1, 0)]
        low, high = self._logits[at - 1], self._logits[at]
        below, above = self._shares[at - 1], self._shares[at]
        return below + (above - below) * (logit - low) / (high - low)


def _by_weight(pair: tuple[int, Sign]) -> tuple[int, bytes]:
    # signs of one weight in the same order in every process, so that a mail's record is one
    weight, sign = pair
    return weight, sign if isinstance(sign, bytes) else sign.encode("utf-8", "surrogateescape")


def _shown(name: str | bytes) -> str:
    """Words in quotes, signs as they are; nothing that could break a header or a terminal."""
    if isinstance(name, str):
        return _printable(name[:200])
    subject, _, word = name.rpartition(b": ")
    shown = _printable(word.decode("utf-8", "replace")[:WORD_MAX])
    return f'"{shown}" in the subject' if subject else f'"{shown}"'


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


class Models:
    """The port `Classifier`: models by name, each loaded once."""

    def __init__(self, registries: Sequence[Path] = ()) -> None:
        self._registries = tuple(registries)
        self._loaded: dict[str, Classifier] = {}

    def require(self, name: str) -> Classifier:
        """Load a model now (at start, at reload), so that no mail waits for the disk."""
        if name not in self._loaded:
            self._loaded[name] = Classifier.load(registry.find(name, self._registries))
        return self._loaded[name]

    def score(self, model: str, message: Message) -> Score:
        """Judge one mail by the model of that name."""
        return self.require(model).score(message)
