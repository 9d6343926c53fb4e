"""What the weights of a policy can add up to, of one mail.

Weights whose conditions exclude each other (`spf.result == 'fail'`, `== 'softfail'`) never
add together, so of such a group the greatest alone counts.

Fails: never; where it is not proved that two exclude each other, both are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from millrace.engine.policy.analysis.bounds import Bounds, term
from millrace.engine.policy.analysis.formula import TRUE, Formula, Reader
from millrace.engine.policy.analysis.proof import together
from millrace.engine.policy.rule import Weight

GROUPED_MAX = 64  # weights of a sign that are looked at in pairs, the greatest

Share = tuple[float, Formula]


def score(weights: Sequence[Weight], reader: Reader) -> Bounds:
    """The least and the greatest sum."""
    said = [reader.formula(w.when.text) if w.when is not None else TRUE for w in weights]
    ends = [term(weight.add.text, reader.limits) for weight in weights]
    most = _greatest((high, said[at]) for at, (_, high) in enumerate(ends) if high > 0)
    least = _greatest((-low, said[at]) for at, (low, _) in enumerate(ends) if low < 0)
    return round(-least, 3) + 0.0, round(most, 3)


def _greatest(shares: Iterable[Share]) -> float:
    ordered = sorted(shares, key=lambda share: share[0], reverse=True)
    groups: list[list[Share]] = []
    for share in ordered[:GROUPED_MAX]:
        group = next((group for group in groups if _apart(share[1], group)), None)
        if group is None:
            groups.append([share])
        else:
            group.append(share)
    return sum(group[0][0] for group in groups) + sum(add for add, _ in ordered[GROUPED_MAX:])


def _apart(said: Formula, group: list[Share]) -> bool:
    return all(not together([said, other]) for _, other in group)
