"""`man`: manual pages, made from the help of the commands."""

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from cli.core.output import note


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def man(directory: Path) -> None:
    """Write the manual pages of all commands into a directory, such as ~/.local/share/man/man1.

    \b
    Example:
      nooble-orch man ~/.local/share/man/man1
    """
    directory.mkdir(parents=True, exist_ok=True)
    root = click.get_current_context().find_root()
    pages = dict(_pages(click.Context(root.command, info_name="nooble-orch")))
    for name, text in pages.items():
        (directory / f"{name}.1").write_text(text, encoding="utf-8")
    note(f"{len(pages)} pages are in {directory}.")


def _pages(context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the name and text (roff) of the pages of a command and of those below it."""
    command = context.command
    yield context.command_path.replace(" ", "-"), _page(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _pages(click.Context(below, info_name=name, parent=context))


def _page(context: click.Context) -> str:
    path = context.command_path
    summary = context.command.get_short_help_str(200)
    title = path.replace(" ", "-")
    lines = [f'.TH "{title.upper()}" "1"', ".SH NAME", f"{_roff(title)} \\- {_roff(summary)}", ".SH SYNOPSIS"]
    lines += [
        f".B {_roff(path)}",
        _roff(" ".join(context.command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *_description(cleandoc(context.command.help or "")),
        ".SH OPTIONS",
    ]
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            lines += [".TP", f".B {_roff(record[0])}", _roff(record[1])]
    return "\n".join(lines) + "\n"


def _description(text: str) -> Iterator[str]:
    """Yield paragraphs; the lines of one that begins with click's mark stay as they are."""
    for paragraph in text.split("\n\n"):
        lines = [_roff(line) for line in paragraph.removeprefix("\b\n").splitlines()]
        yield ".PP"
        yield from [".nf", *lines, ".fi"] if paragraph.startswith("\b\n") else lines


def _roff(text: str) -> str:
    """Return text as roff has it: no line of it is a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
