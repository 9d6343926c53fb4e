"""What a signature says, and which signatures cannot be kept."""

from dataclasses import dataclass
from typing import Optional

import pytest

from millrace.engine import ports
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.session import Helo, Peer
from millrace.engine.pipeline.contract import PORTS, SOURCES, Ask, contract


@dataclass(frozen=True, slots=True)
class Listed(Fact):
    """A fact."""


@dataclass(frozen=True, slots=True)
class Named(Fact):
    """Another fact."""


class Everything:
    async def run(
        self,
        helo: Helo,
        peer: Peer | None,
        named: Optional[Named],  # noqa: UP045 - both spellings are met
        lists: tuple[Listed, ...],
        dns: ports.Dns,
    ) -> Finding[Named]:
        raise NotImplementedError


class OnlyFact:
    def run(self, peer: Peer) -> Listed:
        return Listed()


class OnlyAdvice:
    def run(self, peer: Peer) -> Finding:
        return Finding()


def test_asks_are_read_in_order_with_their_need():
    assert contract(Everything).asks == (
        Ask("helo", Helo, "one"),
        Ask("peer", Peer, "maybe"),
        Ask("named", Named, "maybe"),
        Ask("lists", Listed, "many"),
        Ask("dns", ports.Dns, "one"),
    )


def test_asks_are_sorted_into_facts_sources_and_ports():
    found = contract(Everything)
    assert [ask.name for ask in found.facts] == ["named", "lists"]
    assert [ask.name for ask in found.sources] == ["helo", "peer"]
    assert [ask.name for ask in found.ports] == ["dns"]


@pytest.mark.parametrize(
    ("cls", "gives", "advises", "waits"),
    [
        (Everything, Named, True, True),
        (OnlyFact, Listed, False, False),
        (OnlyAdvice, None, True, False),
    ],
)
def test_return_type_says_what_is_given_and_advised(cls, gives, advises, waits):
    found = contract(cls)
    assert (found.gives, found.advises, found.waits) == (gives, advises, waits)


class NoRun:
    pass


class AsksForNothingKnown:
    def run(self, colour: int) -> Listed:
        raise NotImplementedError


class AsksWithoutType:
    def run(self, helo) -> Listed:
        raise NotImplementedError


class SaysNothing:
    def run(self, helo: Helo):
        raise NotImplementedError


class GivesText:
    def run(self, helo: Helo) -> str:
        raise NotImplementedError


class WouldTakeAnything:
    def run(self, *helo: Helo) -> Listed:
        raise NotImplementedError


class MayBeEither:
    def run(self, who: Helo | Peer) -> Listed:
        raise NotImplementedError


class ManyPeers:
    def run(self, peers: tuple[Peer, ...]) -> Listed:
        raise NotImplementedError


class SpeaksOfStrangers:
    def run(self, helo: "Stranger") -> Listed:  # noqa: F821
        raise NotImplementedError


class FindsText:
    def run(self, helo: Helo) -> Finding[str]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoRun, "has no method run()"),
        (AsksForNothingKnown, "run() asks for 'colour: int', which is no source, fact or port"),
        (AsksWithoutType, "run() asks for 'helo: None', which is no source, fact or port"),
        (SaysNothing, "run() must say what it returns: a Fact, or Finding[Fact]"),
        (GivesText, "run() must say what it returns: a Fact, or Finding[Fact]"),
        (WouldTakeAnything, "run() asks for '*helo'; every ask is a parameter of its own"),
        (MayBeEither, "run() asks for 'who' of two kinds; one kind, or one and None"),
        (FindsText, "run() must say what it returns: a Fact, or Finding[Fact]"),
        (
            SpeaksOfStrangers,
            "run() has an annotation that cannot be read: name 'Stranger' is not defined",
        ),
        (ManyPeers, "run() asks for many Peer; only facts come in tuples"),
    ],
)
def test_signature_that_cannot_be_kept_is_refused(cls, sentence):
    with pytest.raises(ValueError, match="run") as caught:
        contract(cls)
    assert str(caught.value) == sentence


def test_every_source_and_port_has_a_word_of_its_own():
    words = [source.word for source in SOURCES.values()] + list(PORTS.values())
    assert len(words) == len(set(words))
