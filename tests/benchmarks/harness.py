"""What all benchmarks have in common: rounds in turn, medians, ratios, and the command line of each.

A benchmark is a module here, such as `tests/benchmarks/NAME.py`, with three parts:

1. What opens it: an async context manager that starts what is needed, and yields one round. A round measures each side
   once, one after the other, and returns the figures of all sides by name; so rounds go A B A B. Keyword arguments are
   sizes: each becomes an option (`turns` becomes `--turns`), with its default.

       @asynccontextmanager
       async def opened(turns: int = 300) -> AsyncIterator[Round]:
           async with …:
               async def one_round() -> Figures:
                   return {"bare, CPU us": await bare(turns), "turn, CPU us": await turn(turns)}

               yield one_round

2. The record. Its rows are the lines of the table, and name figures; what stands beside is a peer or a bare baseline.
   A row whose figures a run has not found is left out, so a peer that is not installed costs nothing.

       BENCHMARK: Final = Benchmark(
           opened,
           rows=(Row("CPU of a turn", "a bare POST route", "turn, CPU us", "bare, CPU us", at_most(6)),),
           smallest={"turns": 3},
       )

3. Its command: `if __name__ == "__main__": run(BENCHMARK)`. Parts that need a process of their own are
   named there (`run(BENCHMARK, serve_bare=serve_bare)`), and started by `processes.beside`.

Nothing else has to be told of it: `python -m tests.benchmarks` finds every module with a record, runs each in a process
of its own, and writes one table. `smallest` are the sizes at which the code still runs, for tests.

Peers are scripts of their own environments (`Peers`): a benchmark with a parameter `peers` gets them.
"""

import inspect
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
import trio
from attrs import asdict, field, frozen

from orchestrator.sandbox.redis.redis_binary import find_redis_binary
from orchestrator.telemetry.logs import configure_logs

Figures = Mapping[str, float]
"""What a round has found, by name; the name says the side and the unit: `turn, CPU us`."""
Round = Callable[[], Awaitable[Figures]]
Part = Callable[..., Any]
"""What runs in a process of its own; takes strings."""

ROUNDS: Final = 3
ROUND_SECONDS: Final = 900.0


@frozen
class Bound:
    """What a row is to reach."""

    sign: str
    value: float

    def holds(self, value: float) -> bool:
        """Tell whether it is reached."""
        return value >= self.value if self.sign == "≥" else value <= self.value

    def __str__(self) -> str:
        return f"{self.sign} {self.value:,g}"


def at_least(value: float) -> Bound:
    """Return the bound of a figure that is to be high."""
    return Bound("≥", value)


def at_most(value: float) -> Bound:
    """Return the bound of a figure that is to be low."""
    return Bound("≤", value)


@frozen
class Row:
    """A line of the table.

    Args:
        what: what is measured.
        beside: what it is measured beside: the peer or the baseline, and what that promises where it matters.
        ours: the name of our figure.
        theirs: the name of the figure beside it; none: our figure stands by itself.
        reach: the bound of the ratio, ours to theirs, or of our figure.
        unit: of a figure that stands by itself.
    """

    what: str
    beside: str
    ours: str
    theirs: str | None = None
    reach: Bound | None = None
    unit: str = ""

    def values(self, rounds: list[Figures]) -> list[float]:
        """Return what it shows, by round; rounds without its figures, or with nothing beside ours, are left out."""
        if self.theirs is None:
            return [figures[self.ours] for figures in rounds if self.ours in figures]
        return [
            figures[self.ours] / beside
            for figures in rounds
            if self.ours in figures and (beside := figures.get(self.theirs))
        ]


@frozen
class Benchmark:
    """What a module of benchmarks declares (see the module)."""

    open: Callable[..., AbstractAsyncContextManager[Round]]
    rows: tuple[Row, ...]
    smallest: Mapping[str, float | str] = field(factory=dict)
    warm_up: int = 0
    """So many rounds come first and do not count."""
    rounds: int = ROUNDS

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes by name, with their defaults."""
        parameters = inspect.signature(self.open).parameters
        return {name: one.default for name, one in parameters.items() if name != "peers"}

    async def measure(self, rounds: int, sizes: Mapping[str, Any], peers: "Peers") -> list[Figures]:
        """Run it so many times."""
        wanted = {"peers": peers} if "peers" in inspect.signature(self.open).parameters else {}
        found: list[Figures] = []
        async with self.open(**sizes, **wanted) as one_round:
            for number in range(self.warm_up + rounds):
                with trio.fail_after(ROUND_SECONDS):
                    figures = await one_round()
                if number >= self.warm_up:
                    found.append(figures)
        return found


@frozen
class Peers:
    """Where other products are installed that run beside ours.

    Args:
        environments: a folder with virtual environments by name, such as `queue/bin/python`.
        scripts: a folder with the scripts that run in them, such as `queue_peers.py`.
    """

    environments: Path | None = None
    scripts: Path | None = None

    def command(self, environment: str, script: str) -> list[str] | None:
        """Return what runs a script in an environment, or nothing where either is missing."""
        if self.environments is None or self.scripts is None:
            return None
        python, file = self.environments / environment / "bin" / "python", self.scripts / script
        return [str(python), str(file)] if python.exists() and file.exists() else None


def machine() -> dict[str, str]:
    """Return the class of this machine: all that a reader may know of it."""
    redis = ".".join(map(str, find_redis_binary().version[:2]))
    python = ".".join(platform.python_version_tuple()[:2])
    return {"cores": str(len(os.sched_getaffinity(0))), "python": python, "redis": redis}


def peer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where peers are."""
    folder = click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True)
    environments = click.option(
        "--peers", type=folder, envvar="BENCH_VENVS", help="Folder of the peers' environments, by name."
    )
    scripts = click.option("--peers-scripts", type=folder, envvar="BENCH_SCRIPTS", help="Folder of the peers' scripts.")
    return environments(scripts(command))


def run(benchmark: Benchmark, **parts: Part) -> None:
    """Be the command line of a benchmark.

    Args:
        benchmark: the record of the module.
        **parts: what runs in processes of their own, by name: sync or async functions of strings.
    """
    if sys.argv[1:2] == ["--part"]:
        name, *arguments = sys.argv[2:]
        part = parts[name]
        if inspect.iscoroutinefunction(part):
            trio.run(part, *arguments)
        else:
            part(*arguments)
        return
    _command(benchmark)()


def _command(benchmark: Benchmark) -> click.Command:
    @click.option("--rounds", type=click.IntRange(1), default=benchmark.rounds, show_default=True)
    @click.option("--small", is_flag=True, help="With the smallest sizes, to see that it runs.")
    @click.option("--json", "file", type=click.Path(path_type=Path), help="Where to write all figures.")
    @peer_options
    def measure(
        rounds: int, small: bool, file: Path | None, peers: Path | None, peers_scripts: Path | None, **sizes: Any
    ) -> None:
        configure_logs("warning", str)
        if small:
            sizes = {**sizes, **benchmark.smallest}
        found = trio.run(benchmark.measure, rounds, sizes, Peers(peers, peers_scripts))
        click.echo(_text(benchmark, found))
        if file is not None:
            whole = {**record(benchmark, found), "sizes": sizes}
            file.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")

    for name, default in benchmark.sizes.items():
        option = click.option(
            f"--{name.replace('_', '-')}", name, type=type(default), default=default, show_default=True
        )
        measure = option(measure)
    return click.command(help=(sys.modules["__main__"].__doc__ or "").partition("\n")[0])(measure)


def record(benchmark: Benchmark, rounds: list[Figures]) -> dict[str, Any]:
    """Return what a run has found, as its JSON file has it."""
    rows = []
    for row in benchmark.rows:
        if values := row.values(rounds):
            value = median(values)
            reached = row.reach.holds(value) if row.reach is not None else None
            rows.append({**asdict(row), "reach": str(row.reach or ""), "value": value, "reached": reached})
    return {
        "taken": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "rows": rows,
        "rounds": [dict(one) for one in rounds],
    }


def _text(benchmark: Benchmark, rounds: list[Figures]) -> str:
    names = list(dict.fromkeys(name for figures in rounds for name in figures))
    lines = []
    for name in names:
        values = [figures[name] for figures in rounds if name in figures]
        lines.append(f"{name:34} {median(values):12,.3f}   {', '.join(f'{value:,.3f}' for value in values)}")
    for row in record(benchmark, rounds)["rows"]:
        unit = f" {row['unit']}" if row["unit"] else ""
        reach = f" (to reach: {row['reach']})" if row["reach"] else ""
        lines.append(f"{row['what']}, beside {row['beside']}: {row['value']:,.2f}{unit}{reach}")
    return "\n".join(lines)
