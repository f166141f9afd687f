"""`completion`: Tab completion of shells."""

import os
from pathlib import Path
from typing import Final

import click
from click.shell_completion import get_completion_class

from cli.core.devfile import home
from cli.core.failures import CliFailure, Exit
from cli.core.output import note

_SHELLS: Final = ("bash", "zsh", "fish")
_ZSH_START: Final = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }"
"""Without a configuration of its own, a zsh has not loaded its system of completion."""
_BEGIN, _END = "# nooble-orch completion", "# end of nooble-orch completion"


@click.group()
def completion() -> None:
    """Show or install the completion by Tab, of tenants, tasks and agents too.

    \b
    Example:
      nooble-orch completion install
    """


@completion.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def show(shell: str) -> None:
    """Print the script of a shell.

    \b
    Example:
      nooble-orch completion show bash > /etc/bash_completion.d/nooble-orch
    """
    click.echo(_script(shell))


@completion.command()
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
def install(shell: str | None) -> None:
    """Install it for your shell ($SHELL); to do it again replaces it.

    \b
    Example:
      nooble-orch completion install zsh
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in _SHELLS:
        raise CliFailure(
            f"There is no completion for the shell '{shell}'.", f"Name one: {', '.join(_SHELLS)}.", Exit.USAGE
        )
    if shell == "fish":
        place = Path(os.environ.get("XDG_CONFIG_HOME") or home() / ".config") / "fish/completions/nooble-orch.fish"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_script(shell), encoding="utf-8")
    else:
        folder = os.environ.get("ZDOTDIR") if shell == "zsh" else None
        place = Path(folder or home()) / f".{shell}rc"
        before = place.read_text(encoding="utf-8") if place.exists() else ""
        kept, _, rest = before.partition(_BEGIN)
        kept += rest.partition(f"{_END}\n")[2]
        place.write_text(f"{kept}{_BEGIN}\n{_script(shell)}\n{_END}\n", encoding="utf-8")
    note(f"The completion is in {place}; open a new shell.")


def _script(shell: str) -> str:
    kind = get_completion_class(shell)
    if kind is None:
        raise CliFailure(f"There is no completion for the shell '{shell}'.", "", Exit.USAGE)
    root = click.get_current_context().find_root().command
    source = kind(root, {}, "nooble-orch", "_NOOBLE_ORCH_COMPLETE").source()
    return source.replace("    compdef ", f"    {_ZSH_START}\n    compdef ") if shell == "zsh" else source
