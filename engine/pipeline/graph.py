"""From specs to a plan: the edges are read from the signatures.

A filter runs after whoever gives the facts that it asks for (or that its `when` names),
at the stage at which the last thing that it asks for is known.  A pipeline that does
not fit is refused with one exact sentence.

Fails: `compile_plan` raises `Misconfigured`.
"""

from __future__ import annotations

import graphlib
import hashlib
from collections.abc import Iterator, Mapping

from millrace.engine.document import Document
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action
from millrace.engine.pipeline import shelf
from millrace.engine.pipeline.contract import HIDDEN, PORTS, SOURCES, Ask, contract
from millrace.engine.pipeline.plan import Gathered, Given, Node, Plan, Scope, Step
from millrace.engine.pipeline.spec import FilterSpec, PipelineSpec
from millrace.engine.policy import overlay, rules
from millrace.engine.policy.expr import NO_LISTS, Expression, Misfit, compile_condition
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.laying import laid
from millrace.engine.policy.listing import Lists
from millrace.engine.policy.overlay import Overlay
from millrace.engine.policy.rule import Policy, Vocabulary, Word

_NO_OVERLAYS: Mapping[str, Document] = {}


def compile_plan(
    spec: PipelineSpec,
    policy: Document,
    name: str,
    lists: Lists = NO_LISTS,
    overlays: Mapping[str, Document] = _NO_OVERLAYS,
) -> Plan:
    """Wire a pipeline to a policy; `name` is the policy's, `lists` are what conditions may ask.

    Of `overlays` those come first that stand first.
    """
    nodes = _Graph(spec, lists).nodes()
    words = vocabulary(nodes)
    compiled, over = read_policy(policy, name, words, lists, overlays)
    compiled = laid(compiled, over)
    texts = [each.text for each in overlays.values()]
    revision = revision_of(spec.document.text, policy.text, *texts)
    asked = frozenset(_words(nodes, compiled))
    listed = [entry.name for entry in spec.filters]
    return Plan(
        name=spec.name,
        title=spec.title,
        nodes=tuple(sorted(nodes, key=lambda node: listed.index(node.name))),
        steps=tuple(_step(nodes, compiled, stage) for stage in Stage),
        recipient=_step(nodes, compiled, Stage.RCPT, recipient=True),
        policy=compiled,
        deadline=spec.deadline,
        revision=revision,
        words=asked,
    )


def read_policy(
    policy: Document, name: str, words: Vocabulary, lists: Lists, overlays: Mapping[str, Document]
) -> tuple[Policy, list[Overlay]]:
    """A policy and what lies over it, apart; raises `Misconfigured` with the faults of all."""
    compiled = rules.load(policy, name, words, lists)
    found: list[Overlay] = []
    faults: list[Fault] = []
    for each, document in overlays.items():
        try:
            found.append(overlay.load(document, each, (policy, compiled), words, lists))
        except Misconfigured as error:
            faults += error.faults
    if faults:
        raise Misconfigured(*faults)
    return compiled, found


def revision_of(*texts: str) -> str:
    """What names a plan: the texts of its pipeline, its policy, and what lies over that."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def vocabulary(nodes: tuple[Node, ...]) -> dict[str, Word]:
    """What a policy over these nodes may name: sources, their facts, and those of the shelf."""
    words = {s.word: _source_word(kind) for kind, s in SOURCES.items() if s.word not in HIDDEN}
    for name in shelf.names():
        try:
            found = contract(shelf.find(name))
        except (ValueError, ImportError):
            continue
        if found.gives is not None:
            late = any(SOURCES[ask.kind].stage is Stage.SETTLED for ask in found.sources)
            stage = Stage.SETTLED if late else Stage.CONNECT
            words[name] = Word(Kind("record", record=found.gives), stage, given=False)
    for node in nodes:
        if node.contract.gives is not None:
            kind = Kind("record", record=node.contract.gives)
            words[node.name] = Word(kind, node.stage, node.scope is Scope.RECIPIENT)
    return words


_RESERVED = frozenset(
    {source.word for source in SOURCES.values()}
    | {"score", "lists", "listener", "not", "and", "or"}
)


def _source_word(kind: type) -> Word:
    source = SOURCES[kind]
    return Word(Kind("record", record=kind), source.stage, source.stage is Stage.RCPT)


def _words(nodes: tuple[Node, ...], policy: Policy) -> Iterator[str]:
    for node in nodes:
        yield from (SOURCES[ask.kind].word for ask in node.contract.sources)
        yield from node.when.names if node.when else ()
    for weight in policy.weights:
        yield from weight.names if weight.live else ()
    for rule in policy.rules:
        yield from rule.names if rule.live else ()


def _step(
    nodes: tuple[Node, ...], policy: Policy, stage: Stage, *, recipient: bool = False
) -> Step:
    here = tuple(n for n in nodes if n.stage == stage and (n.scope is Scope.RECIPIENT) == recipient)
    weights = () if recipient else policy.weights_at(stage)
    return Step.of(here, weights, policy.rules_at(stage, recipient=recipient))


class _Graph:
    """Finds edges, stages and scopes of one pipeline."""

    def __init__(self, spec: PipelineSpec, lists: Lists) -> None:
        self.spec, self.lists = spec, lists
        self.byname = {f.name: f for f in spec.filters}
        self.givers: dict[type, list[str]] = {}
        for entry in spec.filters:
            if entry.contract.gives is not None:
                self.givers.setdefault(entry.contract.gives, []).append(entry.name)
        self.faults: list[Fault] = []
        self.placed: dict[str, Node] = {}

    def nodes(self) -> tuple[Node, ...]:
        for spec in self.spec.filters:
            if spec.name in _RESERVED:
                sentence = (
                    f"a filter cannot be called '{spec.name}', which names a part of the mail"
                )
                self._fault(spec, sentence, 'Give it another name: name = "…".')
        whens = {f.name: self._when(f) for f in self.spec.filters}
        edges = {f.name: self._before(f, whens[f.name]) for f in self.spec.filters}
        self._refuse_faults()
        for name in self._order(edges):
            self.placed[name] = self._node(self.byname[name], edges[name], whens[name])
        self._refuse_faults()
        return tuple(self.placed.values())

    def _refuse_faults(self) -> None:
        if self.faults:
            raise Misconfigured(*self.faults)

    def _order(self, edges: Mapping[str, set[str]]) -> list[str]:
        sorter = graphlib.TopologicalSorter(edges)
        try:
            sorter.prepare()
        except graphlib.CycleError as error:
            ring = " → ".join(error.args[1])
            raise Misconfigured(
                Fault(f"filters wait for each other: {ring}", place=self._file())
            ) from None
        order: list[str] = []
        listed = list(self.byname)
        while sorter.is_active():
            for name in sorted(sorter.get_ready(), key=listed.index):
                order.append(name)
                sorter.done(name)
        return order

    def _when(self, spec: FilterSpec) -> Expression | None:
        if spec.when is None:
            return None
        kinds = {
            s.word: Kind("record", record=k) for k, s in SOURCES.items() if s.word not in HIDDEN
        }
        for other in self.spec.filters:
            if other.contract.gives is not None and other.name != spec.name:
                kinds[other.name] = Kind("record", record=other.contract.gives)
        try:
            return compile_condition(spec.when, kinds, self.lists)
        except Misfit as misfit:
            path = (*spec.path, "when")
            named = spec.when[misfit.offset : misfit.offset + misfit.width]
            hint = misfit.hint
            if named in shelf.names() and named not in kinds and named != spec.name:
                hint = f'Add   [[filter]] use = "{named}"   to the pipeline.\n{hint}'
            fault = self.spec.document.fault(
                path, misfit.sentence, hint, offset=misfit.offset, width=misfit.width
            )
            self.faults.append(fault)
            return None

    def _before(self, spec: FilterSpec, when: Expression | None) -> set[str]:
        before = {name for name in (when.names if when else ()) if name in self.byname}
        for ask in spec.contract.facts:
            givers = [name for name in self.givers.get(ask.kind, []) if name != spec.name]
            fact = ask.kind.__name__
            if ask.need != "many" and len(givers) > 1:
                hint = f"{' and '.join(givers)} give it; the filter must ask for all of them."
                self._fault(spec, f"{spec.name} asks for one {fact}", hint)
            elif ask.need == "one" and not givers:
                hint = self._adding(ask, spec)
                self._fault(
                    spec, f"{spec.name} asks for {fact}; no filter in this pipeline gives it", hint
                )
            before |= set(givers)
        return before

    def _adding(self, ask: Ask, spec: FilterSpec) -> str:
        for name in shelf.names():
            try:
                if contract(shelf.find(name)).gives is ask.kind:
                    return f'Add   [[filter]] use = "{name}"   or remove {spec.name}.'
            except (ValueError, ImportError):
                continue
        return f"Remove {spec.name}."

    def _node(self, spec: FilterSpec, before: set[str], when: Expression | None) -> Node:
        earlier = [self.placed[name] for name in before]
        named = {s.word: s.stage for s in SOURCES.values()}
        stages = [SOURCES[ask.kind].stage for ask in spec.contract.sources]
        stages += [named[name] for name in (when.names if when else ()) if name in named]
        stage = max([*stages, *(node.stage for node in earlier)], default=Stage.CONNECT)
        scope = self._scope(spec, stage, earlier, when)
        late = any(a.kind is Edited for a in spec.contract.asks) or any(n.late for n in earlier)
        return Node(
            name=spec.name,
            filter=spec.filter,
            contract=spec.contract,
            stage=stage,
            scope=scope,
            after=frozenset(n.name for n in earlier if n.stage == stage),
            givens=tuple(
                Given(ask.name, self._key(ask, spec), ask.need == "one")
                for ask in spec.contract.asks
                if ask.kind not in PORTS and ask.need != "many"
            ),
            gathered=tuple(
                Gathered(ask.name, tuple(self.givers.get(ask.kind, ())))
                for ask in spec.contract.facts
                if ask.need == "many"
            ),
            ports=tuple((ask.name, PORTS[ask.kind]) for ask in spec.contract.ports),
            when=when,
            timeout=spec.timeout,
            on_error=spec.on_error,
            late=late,
            label=stage.name,
        )

    def _scope(
        self, spec: FilterSpec, stage: Stage, earlier: list[Node], when: Expression | None
    ) -> Scope:
        own = any(SOURCES[ask.kind].word == "recipient" for ask in spec.contract.sources)
        own = own or (when is not None and "recipient" in when.names)
        inner = [node.name for node in earlier if node.scope is Scope.RECIPIENT]
        if (own or inner) and stage > Stage.RCPT:
            what = inner[0] if inner else "recipient"
            sentence = f"{spec.name} runs once a mail, but '{what}' differs between recipients"
            self._fault(spec, sentence, "Ask for envelope, or measure at RCPT.")
        if (own or inner) and spec.on_error in (Action.TAG, Action.QUARANTINE):
            sentence = (
                f"on_error '{spec.on_error.word}' takes a whole mail, {spec.name} one recipient"
            )
            self._fault(spec, sentence, "Here stands skip, defer or reject.")
        if own or inner:
            return Scope.RECIPIENT
        return Scope.VISIT if stage <= Stage.HELO else Scope.MAIL

    def _key(self, ask: Ask, spec: FilterSpec) -> str:
        if ask.kind in SOURCES:
            return SOURCES[ask.kind].word
        return next((name for name in self.givers.get(ask.kind, ()) if name != spec.name), "")

    def _fault(self, spec: FilterSpec, sentence: str, hint: str) -> None:
        self.faults.append(Fault(sentence, hint, spec.place))

    def _file(self) -> Place:
        return Place(self.spec.document.name)
