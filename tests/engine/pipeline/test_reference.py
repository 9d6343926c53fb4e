"""The reference tells what the compiler takes: nothing more, nothing less."""

import json

from millrace.engine.pipeline import reference, shelf
from millrace.engine.pipeline.contract import contract
from millrace.engine.pipeline.graph import vocabulary
from millrace.engine.policy.expr import compile_text
from millrace.engine.policy.functions import FUNCTIONS
from millrace.engine.policy.kinds import NUMBER

KINDS = {name: word.kind for name, word in vocabulary(()).items()} | {"score": NUMBER}


def test_every_name_that_conditions_may_use_is_told():
    told = {each.name for each in reference.names()}
    assert told == set(KINDS)
    facts = {n for n in shelf.names() if contract(shelf.find(n)).gives is not None}
    assert facts <= told


def test_every_field_that_is_told_can_be_named():
    for name in reference.names():
        for field in name.fields:
            found = compile_text(field.name, KINDS)
            assert (found.kind.unit, found.kind.choices) == (field.unit, field.choices)


def test_choices_units_and_stages_are_those_of_the_code():
    known = {each.name: each for each in reference.names()}
    fields = {field.name: field for each in known.values() for field in each.fields}
    assert "softfail" in fields["spf.result"].choices
    assert fields["message.size"].unit == "octets"
    assert fields["greylist.left"].unit == "seconds"
    assert fields["dmarc.aligned.spf"].type == "truth"
    assert (known["greylist"].stage, known["greylist"].recipient) == ("RCPT", True)
    assert (known["spf"].stage, known["spf"].recipient) == ("MAIL", False)


def test_data_is_whole_and_plain():
    data = json.loads(json.dumps(reference.as_data()))
    assert {each["name"] for each in data["functions"]} == set(FUNCTIONS)
    assert all(each["help"] for each in data["functions"])
    assert all(key["help"] for table in data["keys"].values() for key in table)
    assert data["units"]["octets"]["MiB"] == 1 << 20
    assert "quarantine" in data["actions"]
