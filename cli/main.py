"""The command `nooble-orch`: its table of commands, and their exit codes."""

import errno
import os
import re
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Final

import click

from cli.core.failures import CliFailure, Exit, error_text
from cli.core.options import listing_options
from cli.core.terminal import terminal_width
from cli.display.glyphs import clean, prepare_streams
from cli.system.endings import ended_as_by_ctrl_c

_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
_HELP_WIDTH: Final = 80
_LEAST_WIDTH: Final = 20
_INDENT: Final = 4
_COMMANDS: Final = {
    "dev": ("cli.dev.command", "Start a development stack on this machine, and chat."),
    "serve": ("cli.commands.operations.serve", "Run the service."),
    "chat": ("cli.chat.command", "Chat with an agent."),
    "sessions": ("cli.commands.work.sessions", "List, show, close and watch sessions."),
    "tasks": ("cli.commands.work.tasks", "List, show and cancel tasks."),
    "batches": ("cli.commands.work.batches", "List, show, follow and cancel batches."),
    "callbacks": ("cli.commands.work.callbacks", "List how callbacks were delivered, and verify one."),
    "trace": ("cli.commands.work.trace", "Show the timeline of a request."),
    "usage": ("cli.commands.tenancy.usage", "Show the usage of language models and embeddings, and its cost."),
    "nodes": ("cli.commands.operations.nodes", "List the processes of the service."),
    "top": ("cli.commands.operations.top", "Show queues, processes and latencies live."),
    "schedules": ("cli.commands.work.schedules", "List, show, create, pause, resume and delete schedules."),
    "queues": ("cli.commands.tenancy.queues", "Show the queues of tenants."),
    "dlq": ("cli.commands.work.dlq", "List, show, replay and purge dead letters."),
    "tenants": ("cli.commands.tenancy.tenants", "List, configure, pause, resume, drain and import tenants."),
    "token": ("cli.commands.access.token", "Create tokens for development."),
    "tokens": ("cli.commands.access.tokens", "Revoke tokens."),
    "audit": ("cli.commands.access.audit", "Read, follow and export the audit trail."),
    "keys": ("cli.commands.access.keys", "Create, list, rotate and revoke API keys."),
    "agents": ("cli.commands.platform.agents", "List and show agents."),
    "tools": ("cli.commands.platform.tools", "List tools and run one."),
    "workflow": ("cli.commands.work.workflow", "List workflows and run one."),
    "events": ("cli.commands.work.events", "Follow all that happens in a tenant."),
    "notices": ("cli.commands.operations.notices", "Show what processes tell operators."),
    "api": ("cli.commands.platform.api", "Send a request to any route."),
    "profile": ("cli.commands.access.profile", "Add, list and choose profiles."),
    "completion": ("cli.commands.shell.completion", "Show or install the completion by Tab."),
    "man": ("cli.commands.shell.man", "Write manual pages."),
    "config": ("cli.commands.operations.config", "Show the settings in force and their sources."),
    "bench": ("cli.commands.operations.bench", "Measure a running stack by a load of its own."),
    "doctor": ("cli.commands.operations.doctor", "Check settings, Redis, services and the consistency of tenants."),
}


class _HelpFormatter(click.HelpFormatter):
    """Help as wide as the terminal; what options do stands below them where there is no room beside."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        fits = max(_LEAST_WIDTH, min(terminal_width(), max_width or _HELP_WIDTH) - 2)
        super().__init__(indent_increment, width or fits, max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        beside = col_max if self.width >= 2 * col_max else _INDENT
        super().write_dl(rows, beside, col_spacing)


# Contexts do not inherit it from that of the group above.
click.Context.formatter_class = _HelpFormatter


class _Commands(click.Group):
    """The commands by name; the module of a command is imported only when it runs, for the speed of the start."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415 - a word that is a command does not need it

            close = get_close_matches(args[0], _COMMANDS, 1)
            meant = f" Did you mean '{close[0]}'?" if close else ""
            ctx.fail(f"No such command '{args[0]}'.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in _COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Completion by Tab: nooble-orch completion install. Manual pages: nooble-orch man DIRECTORY.",
)
@click.version_option(package_name="nooble-orch", message="%(prog)s %(version)s")
@listing_options
def nooble_orch() -> None:
    """The Agent Orchestrator Service: develop with it, run it, operate it.

    \b
    Example:
      nooble-orch dev -m "How do I drain a tenant?"
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    prepare_streams()
    given = [clean(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    as_json = _wants_json(given)
    try:
        _refuse_empty(given)
        with ended_as_by_ctrl_c():
            code = nooble_orch.main(given, prog_name="nooble-orch", standalone_mode=False)
            sys.stdout.flush()
    except CliFailure as failure:
        failure.show(as_json=as_json)
        return failure.code
    except click.ClickException as error:
        if as_json:
            click.echo(error_text(error.format_message(), error.exit_code), err=True)
        else:
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe has gone. At exit Python would try again to write what it still holds.
        _drop_output()
        return Exit.FAILED
    except OSError as error:
        if error.filename is not None:
            CliFailure(f"{error.filename} can't be used: {error.strerror}.").show(as_json=as_json)
        elif error.errno in _UNWRITABLE:
            _drop_output()
            CliFailure(f"The output can't be written: {error.strerror}.").show(as_json=as_json)
        else:
            raise
        return Exit.FAILED
    return code if isinstance(code, int) else Exit.DONE


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument: it is an unset variable of a script, and no tenant, user or task is meant by it.

    Raises:
        CliFailure: there is one.
    """
    for before, argument in pairwise(["nooble-orch", *arguments]):
        if not argument or re.fullmatch(r"--[a-z-]+=", argument):
            where = f"after '{before}'" if not argument else f"'{argument}'"
            hint = "Is a variable of the shell not set? Leave out what is not meant."
            raise CliFailure(f"The argument {where} is empty.", hint, Exit.USAGE)


def _drop_output() -> None:
    """Have the end of the process write what stdout still holds to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether `-o json` or `-o jsonl` asks for errors as JSON too; also where the line has other faults."""
    forms = [after for option, after in pairwise([*arguments, ""]) if option in {"-o", "--output"}]
    forms += [option.removeprefix("--output=") for option in arguments if option.startswith("--output=")]
    forms += [option[2:] for option in arguments if re.fullmatch("-o(json|jsonl)", option)]
    return bool(forms) and forms[-1] in {"json", "jsonl"}
