"""`serve`: the service, for production."""

import os
from pathlib import Path

import click

from cli.core.options import target_options
from cli.core.selection import current_options


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), help="Processes, instead of the file's number.")
@click.option("--bind", metavar="HOST:PORT", help="Where to listen, instead of the file's.")
@click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A hypercorn.toml; default: the one in this directory.",
)
@target_options
def serve(workers: int | None, bind: str | None, config_file: Path | None) -> int:
    """Run the service until SIGTERM or Ctrl-C; its settings come from ORCH_... (see 'nooble-orch config').

    \b
    Example:
      nooble-orch serve --workers 4 -c hypercorn.toml
    """
    if redis_url := current_options().redis_url:
        # The settings come from the environment, and so do those of the workers that are started.
        os.environ["ORCH_REDIS_URL"] = redis_url
    from orchestrator.running import run  # noqa: PLC0415 - imports the whole service, which a help text does without

    return run(config_file, bind=bind, workers=workers)
