"""What can be proved of a policy before any mail comes.

`formula` reads conditions as logic, `region` and `literal` say what one part of them
allows, `proof` decides whether conditions can hold together; `reach`, `order`, `presence`
and `upkeep` turn that into findings.  All of it is sound and none of it is complete:
where a proof does not succeed, nothing is said.
"""
