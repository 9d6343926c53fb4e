"""What is counted, as Prometheus reads it."""

import asyncio

from fakes import Walker, plan_of, uses
from prometheus_client.parser import text_string_to_metric_families

from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Peer
from millrace.engine.net.dns import DnsCounters
from millrace.engine.net.upstream import UpstreamCounters
from millrace.engine.telemetry.merging import families, page
from millrace.engine.telemetry.metrics import DnsSeen, Metrics

ORDER = ("pipeline", "policy", "revision", "action", "rule", "filter", "state", "result")
ORDER = (*ORDER, "source", "listener", "le", "status", "server", "outcome")


class Seen(Fact):
    """A fact."""


class Look:
    def run(self, peer: Peer) -> Seen:
        return Seen()


class Crash:
    def run(self, peer: Peer) -> Seen:
        raise AssertionError


def samples(metrics: Metrics) -> dict[tuple, float]:
    text = page(families(metrics.registry)).decode()
    return {
        (sample.name, *(sample.labels[k] for k in ORDER if k in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_mails_rules_and_runs_are_counted():
    policy = '[[rule]]\nname = "r"\nwhen = "peer"\nthen = "tag"\n'
    walker = Walker(plan_of(uses("look", "crash"), policy, look=Look, crash=Crash))
    asyncio.run(walker.whole())
    metrics = Metrics()
    metrics.decided(walker.records[0])
    metrics.decided(walker.records[0])
    found = samples(metrics)
    assert found["millrace_mails_total", "line", "tag"] == 2
    assert found["millrace_rules_total", "line", "r"] == 2
    assert found["millrace_filter_runs_total", "look", "ran"] == 2
    assert found["millrace_filter_runs_total", "crash", "failed"] == 2
    assert found["millrace_filter_seconds_count", "look"] == 2
    assert ("millrace_filter_seconds_count", "crash") not in found
    assert found["millrace_mail_seconds_count", "line"] == 2


def test_only_the_plans_in_force_are_shown():
    metrics = Metrics()
    metrics.serving([("inbound", "default", "r1")])
    metrics.serving([("inbound", "default", "r2")])
    found = samples(metrics)
    assert found["millrace_plan_info", "inbound", "default", "r2"] == 1
    assert ("millrace_plan_info", "inbound", "default", "r1") not in found


def test_cache_and_connections_are_read_at_each_scrape():
    metrics, counters, server = Metrics(), DnsCounters(), UpstreamCounters()
    seen = DnsSeen(counters, 7, 4096, {"127.0.0.1": server})
    metrics.watch(lambda: seen, lambda: {"milter": 3}, lambda: {"mails": 2})
    counters.hits = 5
    counters.failed["timeout"] = 2
    server.outcomes["tcp"] = 4
    server.failovers, server.seconds = 1, 0.25
    found = samples(metrics)
    assert found["millrace_dns_answers_total", "hits"] == 5
    assert found["millrace_dns_failures_total", "timeout"] == 2
    assert found["millrace_dns_entries",] == 7
    assert found["millrace_dns_bytes",] == 4096
    assert found["millrace_dns_queries_total", "127.0.0.1", "tcp"] == 4
    assert found["millrace_dns_queries_total", "127.0.0.1", "failover"] == 1
    assert found["millrace_dns_query_seconds_total", "127.0.0.1"] == 0.25
    assert found["millrace_connections", "milter"] == 3


def test_plan_that_asks_no_dns_shows_none():
    metrics = Metrics()
    metrics.watch(lambda: None, dict, dict)
    assert not any(name.startswith("millrace_dns") for name, *_ in samples(metrics))
