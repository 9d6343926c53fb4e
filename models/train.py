"""Train: from labelled mail to a model that workers can serve.

A logistic regression (scikit-learn, liblinear) over the presence of features, each column
scaled by its log-count ratio between the classes (Wang and Manning 2012, "NBSVM"), each row
by the square root of its length.  Five-fold over the published collections, at 95.5 %
recall: 29 false positives in 2,075 without either, 13 with both.

One mail in five is held out, chosen by its content, and gives the figures.  Probabilities
are calibrated on mails that their fold's model had not seen, by a sigmoid kept as a table of
64 steps (an isotonic curve was tried: too few mails lie near the border, and it jumps).
The same mails give the same bytes: nothing here draws a random number that is not seeded.

Collections that kept the text only weigh less (good for words, blind for the rest) and do
not calibrate while there is whole mail to do it: what is served is whole.

Fails: Misconfigured when the extra `train` is not installed, or the mails are too few.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from millrace.engine.errors import Fault, Misconfigured
from millrace.models import features as shape
from millrace.models import registry, text, words
from millrace.models.classify import Classifier
from millrace.models.corpus import Sample, samples
from millrace.models.evaluate import Figures, figures
from millrace.models.registry import Manifest

Array: TypeAlias = Any  # numpy and scikit-learn are optional, so their types are not ours

STRENGTH = 1.0  # scikit-learn's C, by five-fold
SEEN_MIN = 2  # mails that must have a feature before it counts
SHORTEST = 30  # rows shorter than this are not raised further
BARE_WEIGHT = 0.3
FOLDS = 5
FEWEST = 20  # mails of each class


@dataclass(frozen=True, slots=True)
class Row:
    """What training keeps of a mail."""

    indices: tuple[int, ...]
    spam: bool
    weight: float
    fold: int


@dataclass(frozen=True, slots=True)
class Report:
    """What came out: where the model lies, its manifest, and figures on held-out mail."""

    path: Path
    manifest: Manifest
    figures: Figures


@dataclass(frozen=True, slots=True)
class _Fit:
    """A fitted model in plain numbers: a weight for each of the 2^18 places."""

    weights: Array
    intercept: float
    estimator: Array
    columns: Array


def train_from(
    paths: Iterable[Path], directory: Path, name: str, *, with_estimator: bool = True
) -> Report:
    """Train on four fifths of the mails below `paths`, judge by the rest, save as `name`."""
    _libraries()
    rows: list[Row] = []
    held_out: list[Sample] = []
    for sample in samples(paths):
        if sample.held_out:
            held_out.append(sample)
        else:
            rows.append(_row(sample))
    spam = sum(row.spam for row in rows)
    if min(spam, len(rows) - spam) < FEWEST:
        raise Misconfigured(
            Fault(
                f"{spam} spam and {len(rows) - spam} ham are too few to learn from",
                f"At least {FEWEST} of each are needed, after copies are dropped.",
            )
        )
    fit = _fit(rows)
    octets, scale = _octets(fit.weights)
    estimator = _dumped(fit) if with_estimator else b""
    digest = hashlib.sha256(octets).hexdigest()
    draft = Manifest(
        name=name,
        version=digest[:8],
        features=shape.VERSION,
        bits=words.BITS,
        intercept=round(fit.intercept, 6),
        scale=scale,
        shortest=SHORTEST,
        calibration=_calibration(rows),
        trained={"ham": len(rows) - spam, "spam": spam},
        figures={},
        sha256=digest,
        estimator_sha256=hashlib.sha256(estimator).hexdigest() if estimator else "",
    )
    found = _judged(draft, octets, held_out, directory)
    known = Manifest(**{**_flat(draft), "figures": asdict(found)})
    return Report(registry.save(directory, known, octets, estimator), known, found)


def evaluate(classifier: Classifier, mails: Iterable[Sample]) -> Figures:
    """Figures of a model on labelled mails."""
    return figures((classifier.score(mail.message).probability, mail.spam) for mail in mails)


def load_estimator(path: Path) -> Array:
    """The fitted scikit-learn estimator of an own model, with the columns that it reads.

    It is a pickle: it is opened only when its SHA-256 is the one in the manifest, and
    never by a worker.  Nobody signs the manifest: keep the registry as safe as the code.
    """
    _libraries()
    import joblib

    known = registry.manifest(path)
    data = registry.verified(path, registry.ESTIMATOR, known.estimator_sha256)
    return joblib.load(io.BytesIO(data))


def _libraries() -> None:
    try:
        import joblib
        import sklearn  # noqa: F401
    except ImportError:
        raise Misconfigured(
            Fault(
                "training needs scikit-learn and joblib, and they are not installed",
                "pip install 'millrace[train]'",
            )
        ) from None
    del joblib


def _row(sample: Sample) -> Row:
    found = shape.features(sample.message, text.read(sample.message))
    weight = BARE_WEIGHT if sample.bare else 1.0
    return Row(tuple(sorted(found)), sample.spam, weight, sample.digest[4] % FOLDS)


def _matrix(rows: Sequence[Row]) -> Array:
    """A CSR matrix of presence, each row divided by the square root of its length."""
    import numpy
    from scipy.sparse import csr_matrix

    lengths = numpy.array([len(row.indices) for row in rows])
    indices = numpy.fromiter((i for row in rows for i in row.indices), numpy.int32)
    values: Array = numpy.repeat(10 / numpy.sqrt(numpy.maximum(lengths, SHORTEST)), lengths)
    bounds = numpy.concatenate(([0], numpy.cumsum(lengths)))
    return csr_matrix((values, indices, bounds), shape=(len(rows), shape.SIZE))


def _fit(rows: Sequence[Row]) -> _Fit:
    import numpy
    from scipy.sparse import diags
    from sklearn.linear_model import LogisticRegression

    matrix = _matrix(rows)
    spam = numpy.array([row.spam for row in rows])
    present = matrix.copy()
    present.data[:] = 1
    of_spam = numpy.asarray(present[spam].sum(0)).ravel() + 1
    of_ham = numpy.asarray(present[~spam].sum(0)).ravel() + 1
    columns = numpy.flatnonzero(of_spam + of_ham - 2 >= SEEN_MIN)
    of_spam, of_ham = of_spam[columns], of_ham[columns]
    ratios = numpy.abs(numpy.log((of_spam / of_spam.sum()) / (of_ham / of_ham.sum())))
    estimator = LogisticRegression(
        C=STRENGTH, solver="liblinear", max_iter=300, random_state=0, tol=1e-5
    )
    estimator.fit(
        matrix[:, columns] @ diags(ratios), spam, sample_weight=[row.weight for row in rows]
    )
    weights = numpy.zeros(shape.SIZE)
    weights[columns] = estimator.coef_[0] * ratios * 10
    return _Fit(weights, float(estimator.intercept_[0]), estimator, (columns, ratios))


def _octets(weights: Array) -> tuple[bytes, float]:
    """Weights as signed octets, and what one of them is worth."""
    import numpy

    scale = float(f"{numpy.abs(weights).max() / 127:.6g}")
    octets = numpy.clip(numpy.round(weights / scale), -127, 127).astype(numpy.int8)
    return octets.tobytes(), scale


def _calibration(rows: Sequence[Row]) -> tuple[tuple[float, float], ...]:
    """Logit → probability, from models that had not seen the mail."""
    import numpy
    from sklearn.linear_model import LogisticRegression

    whole = {row.spam for row in rows if row.weight == 1} == {False, True}
    logits, labels = [], []
    for fold in range(FOLDS):
        rest = [row for row in rows if row.fold != fold]
        away = [row for row in rows if row.fold == fold and (row.weight == 1 or not whole)]
        if not away or len({row.spam for row in rest}) < 2:
            continue
        fit = _fit(rest)
        logits.append(_matrix(away) @ fit.weights / 10 + fit.intercept)
        labels += [row.spam for row in away]
    at = numpy.concatenate(logits)
    sigmoid = LogisticRegression(C=1e6, tol=1e-8).fit(at.reshape(-1, 1), labels)
    slope = max(float(sigmoid.coef_[0][0]), 1e-3)
    # even steps of the calibrated logit, from 1 : 2,980 to 2,980 : 1
    ends = numpy.linspace(-8, 8, registry.STEPS_MAX)
    places = (ends - sigmoid.intercept_[0]) / slope
    shares = 1 / (1 + numpy.exp(-ends))
    return tuple(
        (round(float(x), 4), round(float(p), 5)) for x, p in zip(places, shares, strict=True)
    )


def _judged(draft: Manifest, octets: bytes, mails: Sequence[Sample], at: Path) -> Figures:
    model = registry.Model(draft, memoryview(octets).cast("b"), at)
    return evaluate(Classifier(model), mails)


def _flat(known: Manifest) -> dict[str, Any]:
    return {name: getattr(known, name) for name in Manifest.__slots__}


def _dumped(fit: _Fit) -> bytes:
    import joblib

    columns, ratios = fit.columns
    out = io.BytesIO()
    joblib.dump({"estimator": fit.estimator, "columns": columns, "ratios": ratios}, out, compress=3)
    return out.getvalue()
