"""The command line: `millrace COMMAND`, one file a command, read when called.

Exit statuses: 0 fine, 1 the answer is "no", 2 wrong usage or configuration, 3 a service
is unavailable.  Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import importlib.metadata
import sys

import click

from millrace.engine.cli.lazy import Lazy
from millrace.engine.errors import Misconfigured, Unavailable

OK, NO, WRONG, AWAY = 0, 1, 2, 3
COMMANDS = {
    "init": "init:init",
    "run": "run:run",
    "status": "status:status",
    "reload": "renew:reload",
    "restart": "renew:restart",
    "check": "check:check",
    "test": "test:test",
    "policy": "policy:policy",
    "plan": "plan:plan",
    "graph": "graph:graph",
    "filters": "filters:filters",
    "explain": "explain:explain",
    "load": "load:load",
    "chaos": "chaos:chaos",
    "archive": "archive:archive",
    "list": "list:listing",
    "model": "model:model",
    "dkim": "dkim:dkim",
    "domain": "domain:domain",
    "dmarc": "dmarc:dmarc",
    "config": "config:config",
    "version": "version:version",
}


def _version() -> str:
    return importlib.metadata.version("millrace")


@click.command(
    cls=Lazy,
    package=__name__,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(_version(), prog_name="millrace", message="%(prog)s %(version)s")
def cli() -> None:
    """Measure mail by a graph of small filters, judge it by a policy, and say why.

    \b
    A first look, without an MTA:     millrace run --demo
    Beside Postfix:                   millrace init && millrace check && millrace run
    One mail, explained:              millrace explain mail.eml --ip 192.0.2.7

    Settings are read from ./millrace.toml or /etc/millrace/millrace.toml, from MILLRACE_*
    variables, and from --set; `millrace config show --origin` says which won.

    \b
    Exit status: 0 fine, 1 the answer is no, 2 wrong usage or configuration,
    3 a service is unavailable.
    """


def main() -> None:
    """The entry point; errors become one message and an exit status."""
    try:
        status = cli.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else OK)
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Misconfigured as error:
        click.echo(str(error), err=True)
        sys.exit(WRONG)
    except Unavailable as error:
        click.echo(f"{error.what} is unavailable: {error.detail}", err=True)
        sys.exit(AWAY)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(OK)
