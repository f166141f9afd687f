"""The service's own server beside Hypercorn's: the same bare QuartTrio application on both.

    python -m tests.benchmarks.http_server [--rounds 3] [--seconds 4] [--connections 32] [--sockets 16] [--json FILE]

A POST of JSON that is answered by JSON, frames pushed to WebSockets, and the memory of an idle WebSocket. Each server
is a process of its own; the rounds alternate between the two.
"""

import json
import sys
from functools import partial
from pathlib import Path
from statistics import median

import click
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from quart import request, websocket
from quart_trio import QuartTrio

from orchestrator import server as own
from tests.benchmarks.accepting import load, post
from tests.benchmarks.websocket_push import END, FRAME, cpu_seconds, idle, push_bare, server, until_stdin_ends

KINDS = ("hypercorn", "own")
Figures = dict[str, list[float]]


def application() -> QuartTrio:
    """Make the bare application."""
    app = QuartTrio("bare")

    @app.post("/bare")
    async def accept() -> tuple[dict[str, str], int]:
        body = await request.get_json()
        return {"accepted": body["session_id"]}, 202

    @app.websocket("/ws")
    async def push() -> None:
        while True:
            for _ in range(int(await websocket.receive()) - 1):
                await websocket.send(FRAME)
            await websocket.send(END.decode())

    return app


async def serve(kind: str) -> None:
    """Serve it until standard input ends."""
    config = Config() if kind == "hypercorn" else own.ServerConfig()
    config.bind = ["127.0.0.1:0"]
    config.keep_alive_timeout = 75
    config.keep_alive_max_requests = 10**9
    start = hypercorn_serve if kind == "hypercorn" else own.serve
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(partial(start, application(), config))
        print(binds[0].rpartition(":")[2], flush=True)  # noqa: T201 # what the parent waits for
        await until_stdin_ends()
        nursery.cancel_scope.cancel()


async def measure(rounds: int, seconds: float, connections: int, sockets: int, tokens: int, idlers: int) -> Figures:
    """Run both in turn, A B A B."""
    found: Figures = {}
    requests = [post("/bare", {"session_id": "s1", "content": "hello there"})]
    for _ in range(rounds):
        for kind in KINDS:
            with server(kind, module=__spec__.name) as (port, pid):
                began = cpu_seconds(pid)
                rate = await load(f"http://127.0.0.1:{port}", requests, connections, seconds)
                found.setdefault(f"{kind}, POST/s", []).append(rate)
                spent = (cpu_seconds(pid) - began) / (rate * seconds)
                found.setdefault(f"{kind}, CPU us a POST", []).append(spent * 1e6)
            with server(kind, module=__spec__.name) as (port, pid):
                began = cpu_seconds(pid)
                took, _ = await push_bare(port, sockets, tokens)
                found.setdefault(f"{kind}, frames/s", []).append(sockets * tokens / took)
                spent = (cpu_seconds(pid) - began) / (sockets * tokens)
                found.setdefault(f"{kind}, CPU us a frame", []).append(spent * 1e6)
            with server(kind, module=__spec__.name) as (port, pid):
                found.setdefault(f"{kind}, KiB an idle socket", []).append(await idle(port, pid, ["/ws"] * idlers))
    return found


@click.command()
@click.option("--rounds", default=3)
@click.option("--seconds", default=4.0)
@click.option("--connections", default=32)
@click.option("--sockets", default=16)
@click.option("--tokens", default=3000)
@click.option("--idle", "idlers", default=500)
@click.option("--json", "file", type=click.Path(path_type=Path))
@click.option("--serve", "served", hidden=True)
def main(
    rounds: int, seconds: float, connections: int, sockets: int, tokens: int, idlers: int, file: Path | None,
    served: str | None,
) -> None:  # fmt: skip
    """Compare, and print the ratios."""
    if served is not None:
        trio.run(serve, served)
        return
    found = trio.run(partial(measure, rounds, seconds, connections, sockets, tokens, idlers))
    for name, values in found.items():
        kind, _, what = name.partition(", ")
        peers = found[f"hypercorn, {what}"]
        ratio = median(value / peer for value, peer in zip(values, peers, strict=True))
        click.echo(f"{name:32} {median(values):10.1f}   {ratio:5.2f} of Hypercorn's" if kind == "own" else
                   f"{name:32} {median(values):10.1f}")  # fmt: skip
    if file is not None:
        file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
