"""`serve`: run the service, in production."""

import os
from pathlib import Path

import click

from cli.core.options import target_options
from cli.core.selection import current_options
from cli.system.endings import leave_signals


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), help="Number of processes; default: that of the file.")
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on; default: that of the file.")
@click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Path of a hypercorn.toml; default: the one in this directory.",
)
@target_options
def serve(workers: int | None, bind: str | None, config_file: Path | None) -> int:
    """Run the service until SIGTERM or Ctrl-C. Its settings are ORCH_... variables (see 'nooble-orch config').

    \b
    Example:
      nooble-orch serve --workers 4 -c hypercorn.toml
    """
    if redis_url := current_options().redis_url:
        # The service and its workers read their settings from the environment.
        os.environ["ORCH_REDIS_URL"] = redis_url
    # The service handles signals by itself.
    leave_signals()
    from orchestrator.running import run  # noqa: PLC0415 - imports the whole service, which a help text does without

    return run(config_file, bind=bind, workers=workers)
