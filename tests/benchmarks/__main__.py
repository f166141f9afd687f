"""All benchmarks, one after the other, and one table of what they have found.

    python -m tests.benchmarks [--only NAME,NAME] [--rounds 3] [--peers FOLDER --peers-scripts FOLDER] [--json FILE]
    python -m tests.benchmarks --write

Each runs in a process of its own. `--write` puts the lines of this run into the table of docs/reference/performance.md;
lines of benchmarks that did not run stay as they are. `harness.py` says how a benchmark is added.
"""

import importlib
import json
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

import tests.benchmarks
from tests.benchmarks import report
from tests.benchmarks.harness import Benchmark, peer_options


def benchmarks() -> dict[str, Benchmark]:
    """Return the record of each benchmark, by the name of its module."""
    names = sorted(one.name for one in pkgutil.iter_modules(tests.benchmarks.__path__) if not one.name.startswith("_"))
    found = {}
    for name in names:
        if not name.startswith("test_"):
            one = getattr(importlib.import_module(f"tests.benchmarks.{name}"), "BENCHMARK", None)
            if one is not None:
                found[name] = one
    return found


def run_one(name: str, arguments: list[str]) -> dict[str, Any] | None:
    """Run a benchmark in a process of its own; returns what it has found, or nothing if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--json", str(file), *arguments]
        if subprocess.run(command, check=False).returncode:
            return None
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--only", help="Names of benchmarks, with commas between.")
@click.option("--rounds", type=click.IntRange(1), help="Of each; without, as many as each has by itself.")
@click.option("--small", is_flag=True, help="With the smallest sizes, to see that they run.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Where to write all figures.")
@click.option("--write", is_flag=True, help="Put the lines into the table of the reference page.")
@click.option("--list", "listed", is_flag=True, help="Tell what there is, and end.")
@peer_options
def main(
    only: str | None, rounds: int | None, small: bool, file: Path | None, write: bool, listed: bool,
    peers: Path | None, peers_scripts: Path | None,
) -> None:  # fmt: skip
    """Run them, and print the table."""
    known = benchmarks()
    wanted = only.split(",") if only else list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise click.UsageError(f"There is no benchmark {', '.join(unknown)}; --list tells what there is.")
    if listed:
        click.echo("\n".join(known))
        return
    if small and write:
        raise click.UsageError("What --small finds says nothing, so --write does not go with it.")
    arguments = [f"--rounds={rounds}"] * (rounds is not None) + ["--small"] * small
    arguments += [f"--peers={peers}"] * (peers is not None)
    arguments += [f"--peers-scripts={peers_scripts}"] * (peers_scripts is not None)
    found, failed = {}, []
    for name in wanted:
        click.echo(f"# {name}", err=True)
        one = run_one(name, arguments)
        if one is None:
            failed.append(name)
        else:
            found[name] = one
    lines = report.lines(found.values())
    click.echo(report.table(lines))
    if file is not None:
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if write:
        order = [report.key_of(row.what, row.beside) for one in known.values() for row in one.rows]
        page = report.merged(report.PAGE.read_text(encoding="utf-8"), lines, order)
        report.PAGE.write_text(page, encoding="utf-8")
    if failed:
        raise click.ClickException(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
