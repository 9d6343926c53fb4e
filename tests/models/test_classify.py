"""The shipped model judges with the standard library alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import Misconfigured
from millrace.engine.mail.message import Message
from millrace.models import registry
from millrace.models.classify import Classifier, Models
from millrace.models.corpus import samples
from millrace.models.evaluate import figures
from millrace.models.text import GTUBE

HEAD = b"From: A <a@b.example>\r\nDate: x\r\nMessage-ID: <1@x>\r\n"
SPAM = HEAD + (
    b"Subject: FREE VIAGRA, you are a winner!!!\r\nContent-Type: text/html\r\n\r\n"
    b"<p>Click here to order cheap viagra pills now! 100% money back guarantee."
    b' <a href="http://192.0.2.7/buy">www.pharmacy.example</a> To be removed, click here.'
)
HAM = HEAD + (
    b"Subject: Re: build fails on arm\r\n\r\n"
    b"I tried the patch that you attached on Friday, and it works. Thanks! Does anybody know"
    b" when the next release is planned? The old one has this problem too.\r\n"
)
shipped = Classifier.load(registry.find("default"))


def test_plain_spam_and_plain_ham_are_told_apart() -> None:
    assert shipped.score(Message.parse(SPAM)).probability > 0.9
    assert shipped.score(Message.parse(HAM)).probability < 0.1


def test_every_process_names_the_same_words() -> None:
    # a set's order hangs on the seed of its process, and some of these words weigh the same
    text = b"\r\nreply 5% our here seems anyway apparently probably users lines"
    code = (
        "from millrace.engine.mail.message import Message\n"
        "from millrace.models.classify import Models\n"
        f"print(Models().score('default', Message.parse({text!r})).words)"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(told) == 1


def test_the_words_that_told_are_given_spam_first() -> None:
    words = shipped.score(Message.parse(SPAM)).words
    assert 3 <= len(words) <= 6
    assert "HTML without plain text" in words or any("remove" in word for word in words)


def test_told_words_cannot_break_a_line() -> None:
    link = b'<a href="http://evil\x1b.example">bank.example</a>'
    mail = HEAD + b"Content-Type: text/html\r\n\r\n" + link
    for word in shipped.score(Message.parse(mail)).words:
        assert word.isprintable()


def test_test_pattern_is_a_flag_and_not_learnt() -> None:
    score = shipped.score(Message.parse(HAM + GTUBE))
    assert score.gtube
    assert score.probability < 0.5


def test_probabilities_rise_with_the_logit_and_stay_inside() -> None:
    steps = [shipped.probability(logit / 10) for logit in range(-200, 200)]
    assert steps == sorted(steps)
    assert 0 < steps[0] < 0.01 < 0.99 < steps[-1] < 1


@given(st.binary(max_size=300))
def test_no_bytes_make_scoring_raise(raw: bytes) -> None:
    assert 0 <= shipped.score(Message.parse(HEAD + raw)).probability <= 1


def test_models_are_loaded_once_by_name() -> None:
    models = Models()
    assert models.require("default") is models.require("default")
    assert models.score("default", Message.parse(HAM)).model == shipped.manifest.id


def test_unknown_model_names_those_that_there_are() -> None:
    with pytest.raises(Misconfigured, match=r"no model 'nope'\n.*default"):
        Models().require("nope")


def test_workers_import_no_library_of_the_trainer() -> None:
    code = (
        "import sys, millrace.models.classify as c;"
        "c.Models().require('default');"
        "print([m for m in ('sklearn', 'numpy', 'scipy', 'joblib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.data
def test_held_out_mails_meet_the_published_figures(shared_data: Path) -> None:
    for archive, recall, hit in (
        ("spam/spamassassin.tar.xz", 0.93, 0.01),
        ("modern-ham/modern-ham.tar.xz", None, 0.005),
    ):
        mails = [mail for mail in samples([shared_data / archive]) if mail.held_out]
        found = figures((shipped.score(m.message).probability, m.spam) for m in mails)
        cut = found.cuts[1]
        assert cut.threshold == 0.9
        assert cut.false_positives is not None
        assert cut.false_positives <= hit
        assert recall is None or (cut.recall or 0) >= recall
