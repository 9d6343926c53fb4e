"""Thirty policies in which nothing is wrong; nothing may be found in them."""


def rule(name: str, when: str, then: str = "reject", more: str = "") -> str:
    return f'[[rule]]\nname = "{name}"\nwhen = "{when}"\nthen = "{then}"\n{more}\n'


def weight(name: str, add: str, when: str = "") -> str:
    asked = f'when = "{when}"\n' if when else ""
    return f'[[weight]]\nname = "{name}"\nadd = "{add}"\n{asked}\n'


FAIL, SOFT = "spf.result == 'fail'", "spf.result == 'softfail'"

CLEAN = {
    "nothing at all": "",
    "one rule": rule("a", FAIL),
    "two results of one filter": rule("a", FAIL) + rule("b", SOFT, "tag"),
    "the narrow rule first": rule("a", f"{FAIL} and login", "tag") + rule("b", FAIL),
    "not pass is more than fail": rule("a", FAIL) + rule("b", "spf.result != 'pass'", "tag"),
    "what is absent is not pass": rule("a", "spf and spf.result != 'pass'")
    + rule("b", "not spf", "tag"),
    "falling thresholds": weight("w", "12 * spam.probability")
    + rule("a", "score >= 10")
    + rule("b", "score >= 7", "quarantine")
    + rule("c", "score >= 5", "tag"),
    "a band of the score": weight("w", "12 * spam.probability")
    + rule("a", "score > 3 and score < 5", "tag"),
    "a chained band": weight("w", "12 * spam.probability") + rule("a", "3 < score <= 5", "tag"),
    "an exact number": weight("w", "12 * spam.probability")
    + rule("a", "score >= 3 and score <= 3", "tag"),
    "constants that reach the threshold": weight("a", "2", FAIL)
    + weight("b", "3", "dkim.result == 'fail'")
    + rule("r", "score >= 5", "tag"),
    "thirds that are rounded up": weight("a", "2.0005", FAIL) + rule("r", "score >= 2.001", "tag"),
    "a subdomain after its sister": rule("a", "under(from.domain, 'a.example')")
    + rule("b", "under(from.domain, 'b.example')", "tag"),
    "a subdomain before the domain": rule("a", "under(from.domain, 'x.a.example')", "pass")
    + rule("b", "under(from.domain, 'a.example')"),
    "a name that only ends alike": rule("a", "under(from.domain, 'a.example')")
    + rule("b", "from.domain == 'not-a.example'", "tag"),
    "a network before the one around it": rule("a", "within(peer.ip, '192.0.2.0/25')", "pass")
    + rule("b", "within(peer.ip, '192.0.2.0/24')"),
    "an address beside a network": rule("a", "within(peer.ip, '192.0.2.0/25')", "pass")
    + rule("b", "peer.ip == '192.0.2.200'"),
    "networks of two families": rule("a", "within(peer.ip, '0.0.0.0/0')", "pass")
    + rule("b", "within(peer.ip, '2001:db8::/32')"),
    "a list of words, then the rest": rule("a", "spf.result in ['fail', 'softfail']")
    + rule("b", "spf.result not in ['fail', 'softfail', 'pass']", "tag"),
    "lower-case text": rule("a", "lower(helo.name) == 'localhost'"),
    "a truth and its denial": rule("a", "spam.gtube") + rule("b", "not spam.gtube", "tag"),
    "two facts by or": rule("a", f"{FAIL} or dkim.result == 'fail'")
    + rule("b", "dmarc.result == 'fail'", "tag"),
    "early above late": rule("early", FAIL, "tag") + rule("late", "virus.result == 'found'"),
    "early below late, with the same answer": rule("late", "virus.result == 'found'")
    + rule("early", FAIL),
    "early below late, but never of one mail": rule("late", "login and spam.gtube")
    + rule("early", "not login and helo.name == 'x'", "tag"),
    "a recipient before the mail": rule("one", "greylist.wait", "defer")
    + rule("all", FAIL + " and virus.result == 'found'"),
    "a comparison of two fields": rule("a", "from.domain == sender.domain", "pass")
    + rule("b", "from.domain == 'x.example' and sender.domain == 'y.example'"),
    "a list of a fact": rule("a", "'x.example' in dkim.domains", "pass")
    + rule("b", "'y.example' in dkim.domains"),
    "a rule that needs login, then one for the login": rule("a", "not login and " + FAIL)
    + rule("b", "login.user == 'ann' and " + FAIL, "tag"),
    "a length": rule("a", "len(helo.name) > 64") + rule("b", "len(helo.name) == 0", "tag"),
}
