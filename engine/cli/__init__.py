"""The command line: `millrace COMMAND`, one file a command, read when called.

Exit statuses: 0 fine, 1 the answer is "no", 2 wrong usage or configuration, 3 a service
is unavailable.  Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

import click

from millrace.engine.document import nearest
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
    "plan": "plan:plan",
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


class Commands(click.Group):
    """Commands whose modules are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it."""
        where = COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        found: click.Command = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was probably meant."""
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS:
            near = nearest(name, COMMANDS)
            hint = f"; did you mean '{near}'?" if near else "; `millrace --help` lists them"
            raise click.UsageError(f"there is no command '{name}'{hint}", ctx)
        return super().resolve_command(ctx, args)


def _version() -> str:
    return importlib.metadata.version("millrace")


@click.command(
    cls=Commands,
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
