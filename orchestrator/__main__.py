"""`python -m orchestrator`: the service, as `nooble-orch serve` runs it."""

import gc
import sys
from pathlib import Path

# What is loaded stays to the end: to look for garbage in it, again and again, takes a fifth of the start. `run` has the
# collector work from the moment that the service is ready.
gc.disable()

if not __package__:
    # `python orchestrator`: the modules of the package would stand in the place of those of the standard library.
    sys.path[0] = str(Path(__file__).parent.parent)

import click  # noqa: E402 - the collector is turned off first

from orchestrator.running import run  # noqa: E402 - the collector is turned off first


@click.command()
@click.option("-c", "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A hypercorn.toml.")
@click.option("--bind", help="HOST:PORT, instead of those of the file; port 0: a free one.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes, instead of the file's number.")
@click.option("--shared-port", is_flag=True, help="Share the port with other workers.")
@click.option("--exit-with-stdin", is_flag=True, help="Stop when standard input ends.")
def main(
    config: Path | None, bind: str | None, workers: int | None, *, shared_port: bool, exit_with_stdin: bool
) -> None:
    """Run the Agent Orchestrator Service."""
    sys.exit(run(config, bind=bind, workers=workers, shared_port=shared_port, exit_with_stdin=exit_with_stdin))


if __name__ == "__main__":
    main()
