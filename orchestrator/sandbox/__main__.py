"""The sandbox as a process of its own: `python -m orchestrator.sandbox`."""

import os
import signal
from pathlib import Path

import click
import trio

from orchestrator.sandbox.platform import run_sandbox


@click.command()
@click.option("--port", default=0, show_default=True, help="Loopback port; 0 takes a free one.")
@click.option("--orchestrator-url", help="Where the orchestrator is.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where conversations are kept; default: in memory.")
@click.option("--fixtures", type=click.Path(path_type=Path, exists=True), help="Other tenants, agents and documents.")
@click.option("--docs", type=click.Path(path_type=Path, exists=True), help="Another documentation for docs-guide.")
@click.option("--exit-with-stdin", is_flag=True, help="End when standard input ends: with the parent process.")
def main(
    port: int,
    orchestrator_url: str | None,
    data_dir: Path | None,
    fixtures: Path | None,
    docs: Path | None,
    exit_with_stdin: bool,
) -> None:
    """Run stand-ins of the downstream services; prints one line with their address when they are ready.

    The key for the orchestrator's internal API comes from SANDBOX_INTERNAL_API_KEY, and the Redis of the services'
    queues from SANDBOX_REDIS_URL: no list of processes shows them.
    """

    async def run() -> None:
        key = os.environ.get("SANDBOX_INTERNAL_API_KEY")
        async with (
            run_sandbox(
                fixtures,
                port=port,
                orchestrator_url=orchestrator_url,
                internal_api_key=key,
                data_dir=data_dir,
                docs=docs,
                redis_url=os.environ.get("SANDBOX_REDIS_URL"),
            ) as sandbox,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_until_signalled, nursery.cancel_scope)
            if exit_with_stdin:
                nursery.start_soon(_until_abandoned, nursery.cancel_scope)
            click.echo(f"ready {sandbox.url}")

    trio.run(run)


async def _until_signalled(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _until_abandoned(scope: trio.CancelScope) -> None:
    async with trio.lowlevel.FdStream(os.dup(0)) as stream:
        async for _ in stream:
            pass
    scope.cancel()


if __name__ == "__main__":
    main()
