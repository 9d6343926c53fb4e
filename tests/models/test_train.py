"""Training makes a model that tells spam from ham, the same bytes each time."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.mail.message import Message
from millrace.models import registry, train
from millrace.models.classify import Classifier

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def report(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> train.Report:
    return train.train_from([corpus], tmp_path_factory.mktemp("registry"), "small")


def test_held_out_mails_are_told_apart(report: train.Report) -> None:
    assert report.figures.ham + report.figures.spam > 20
    assert report.figures.auc == 1.0


def test_words_of_spam_raise_the_probability(report: train.Report) -> None:
    classifier = Classifier.load(report.path)
    head = b"From: A <a@b.example>\r\nDate: x\r\nMessage-ID: <1@x>\r\nSubject: hello\r\n\r\n"
    spam = classifier.score(Message.parse(head + b"cheap pills click offer"))
    ham = classifier.score(Message.parse(head + b"patch review lunch friday"))
    assert ham.probability < 0.5 < spam.probability
    assert '"pills"' in spam.words


def test_same_mails_give_the_same_bytes(report: train.Report, corpus: Path, tmp_path: Path) -> None:
    again = train.train_from([corpus], tmp_path, "small")
    for name in (registry.WEIGHTS, registry.MANIFEST, registry.ESTIMATOR):
        assert (again.path / name).read_bytes() == (report.path / name).read_bytes(), name


def test_estimator_is_loaded_when_its_hash_is_right(report: train.Report) -> None:
    assert "estimator" in train.load_estimator(report.path)


def test_estimator_that_was_exchanged_is_never_unpickled(corpus: Path, tmp_path: Path) -> None:
    made = train.train_from([corpus], tmp_path, "small")
    (made.path / registry.ESTIMATOR).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(Misconfigured, match="not the one that the manifest names"):
        train.load_estimator(made.path)


def test_too_few_mails_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ham").mkdir()
    (tmp_path / "ham" / "a.eml").write_bytes(b"Subject: x\n\nx")
    with pytest.raises(Misconfigured, match="too few"):
        train.train_from([tmp_path], tmp_path / "registry", "small")


def test_missing_libraries_are_named_with_the_remedy(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.partition(".")[0] in ("sklearn", "joblib"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Misconfigured, match=r"pip install 'millrace\[train\]'"):
        train.train_from([corpus], tmp_path, "small")


@pytest.mark.data
def test_shipped_model_is_made_again_from_the_published_mails(
    shared_data: Path, tmp_path: Path
) -> None:
    mails = [
        shared_data / "spam" / "spamassassin.tar.xz",
        shared_data / "spam" / "enron-spam.tar.xz",
        shared_data / "modern-ham" / "modern-ham.tar.xz",
    ]
    made = train.train_from(mails, tmp_path, "default", with_estimator=False)
    shipped = registry.load(registry.SHIPPED / "default")
    # another processor's logarithm may round a weight otherwise, by one octet's step
    pairs = list(zip(registry.load(made.path).weights, shipped.weights, strict=True))
    assert sum(ours != theirs for ours, theirs in pairs) < 100
    assert all(abs(ours - theirs) <= 1 for ours, theirs in pairs)
    assert made.manifest.trained == shipped.manifest.trained
