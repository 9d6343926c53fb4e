"""Thirty policies with one planted fault each: its code, its line, and what is said of it."""

from clean_policies import FAIL, SOFT, rule, weight

MODEL = weight("w", "12 * spam.probability")
# each rule has five lines
FAULTY = {
    "two results at once": (
        rule("a", "spf.result == 'pass' and spf.result == 'fail'"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "a score above and below": (
        MODEL + rule("a", "score > 5 and score < 3", "tag"),
        ("never-holds", 7, 'rule "a" can never hold'),
    ),
    "an empty band, chained": (
        MODEL + rule("a", "5 < score < 5", "tag"),
        ("never-holds", 7, 'rule "a" can never hold'),
    ),
    "a result that two lists exclude": (
        rule("a", "spf.result in ['fail', 'softfail'] and spf.result in ['pass', 'none']"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "every result denied, yet there": (
        rule("a", "dmarc.result in ['pass', 'fail'] and not dmarc.result in ['fail', 'pass']"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "nobody's name": (
        rule("a", "not login and login.user == 'ann'"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "upper case after lower()": (
        rule("a", "lower(helo.name) == 'LOCALHOST'"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "a negative length": (
        rule("a", "len(helo.name) < 0"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "a domain in two places": (
        rule("a", "under(from.domain, 'a.example') and under(from.domain, 'b.example')"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "a domain outside of its parent": (
        rule("a", "under(from.domain, 'x.a.example') and not under(from.domain, 'a.example')"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "an address outside of the network": (
        rule("a", "peer.ip == '192.0.2.1' and within(peer.ip, '198.51.100.0/24')"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "a threshold that constants cannot reach": (
        weight("a", "2", FAIL) + weight("b", "1", SOFT) + rule("r", "score >= 10"),
        ("never-holds", 13, 'rule "r" can never hold'),
    ),
    "an alternative of contradictions": (
        rule("a", "(spam.gtube and not spam.gtube) or (login and not login)"),
        ("never-holds", 3, 'rule "a" can never hold'),
    ),
    "a weight that contradicts itself": (
        weight("w", "2", "spf.result == 'fail' and spf.result == 'pass'")
        + rule("r", "score >= 1 and " + FAIL, "tag"),
        ("never-holds", 4, 'weight "w" can never hold'),
    ),
    "the same rule twice": (
        rule("a", FAIL) + rule("b", FAIL, "tag"),
        ("shadowed", 6, 'rule "b" is never reached'),
    ),
    "the narrow rule last": (
        rule("a", FAIL) + rule("b", f"{FAIL} and login", "pass"),
        ("shadowed", 6, 'rule "b" is never reached'),
    ),
    "everything is taken": (
        rule("a", "True", "tag") + rule("b", FAIL),
        ("shadowed", 6, 'rule "b" is never reached'),
    ),
    "rising thresholds": (
        MODEL + rule("a", "score >= 5", "tag") + rule("b", "score >= 10"),
        ("shadowed", 10, 'rule "b" is never reached'),
    ),
    "two rules take all together": (
        rule("a", "spam.gtube")
        + rule("b", "not spam.gtube", "tag")
        + rule("c", "dmarc.result == 'fail'"),
        ("shadowed", 11, 'rule "c" is never reached'),
    ),
    "both halves of an or": (
        rule("a", FAIL)
        + rule("b", "dkim.result == 'fail'", "tag")
        + rule("c", f"{FAIL} or dkim.result == 'fail'", "quarantine"),
        ("shadowed", 11, 'rule "c" is never reached'),
    ),
    "the host after its domain": (
        rule("a", "under(from.domain, 'a.example')")
        + rule("b", "from.domain == 'x.a.example'", "pass"),
        ("shadowed", 6, 'rule "b" is never reached'),
    ),
    "the address after its network": (
        rule("a", "within(peer.ip, '192.0.2.0/24')", "defer") + rule("b", "peer.ip == '192.0.2.9'"),
        ("shadowed", 6, 'rule "b" is never reached'),
    ),
    "an early rule takes it all": (
        rule("late", f"{FAIL} and spam.gtube", "reject") + rule("early", FAIL, "reject"),
        ("shadowed", 1, 'rule "late" is never reached'),
    ),
    "one of a list after the list": (
        rule("a", "spf.result in ['fail', 'softfail']") + rule("b", SOFT, "tag"),
        ("shadowed", 6, 'rule "b" is never reached'),
    ),
    "a weight whose mail is refused": (
        rule("a", FAIL)
        + weight("w", "3", FAIL + " and spam.gtube")
        + rule("b", "score > 1", "tag"),
        ("weight-unreached", 6, 'weight "w" is never reached'),
    ),
    "an early rule below": (
        rule("late", "virus.result == 'found'") + rule("early", FAIL, "tag"),
        ("beaten", 6, 'rule "early" is judged before "late", which stands above it'),
    ),
    "a fact that nobody measures": (
        rule("a", "dnsbl.listed"),
        ("no-filter", 1, 'rule "a" needs dnsbl, which no filter gives'),
    ),
    "a denial of what nobody measures": (
        rule("a", f"not dnsbl.listed and {FAIL}"),
        (
            "always-holds",
            3,
            "dnsbl is given by no filter, so this always holds: not dnsbl.listed",
        ),
    ),
    "a score that nobody reads": (
        MODEL + rule("a", FAIL),
        ("score-unread", 1, "weights add up to a score that no rule reads"),
    ),
    "two rules of one name": (
        rule("a", FAIL) + rule("a", SOFT, "tag"),
        ("unfit", 6, 'two rules are called "a"'),
    ),
}
