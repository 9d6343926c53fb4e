"""A step makes tasks only where two filters can wait at once."""

from millrace.engine.document import Document
from millrace.engine.mail.stage import Stage
from millrace.engine.pipeline.graph import compile_plan
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.spec import load


def plan_with(*names: str) -> Plan:
    text = "".join(f'[[filter]]\nuse = "{name}"\n' for name in names)
    text = text.replace('"virus"\n', '"virus"\nsocket = "/run/clamd"\n')
    return compile_plan(load(Document(text, "p.toml"), "p"), Document("", "q.toml"), "q")


def test_filters_that_follow_each_other_make_no_tasks():
    plan = plan_with("spf", "dkim", "dmarc", "spam")
    assert not plan.steps[Stage.BODY].side_by_side


def test_a_scanner_waits_beside_the_signatures():
    plan = plan_with("spf", "dkim", "dmarc", "virus")
    assert plan.steps[Stage.BODY].side_by_side
