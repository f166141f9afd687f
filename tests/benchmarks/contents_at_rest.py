"""What encryption costs: the CPU time of the same turns with and without keys, in rounds in turn, in one process.

python -m tests.benchmarks.contents_at_rest [ROUNDS] [TURNS]
"""

import base64
import sys
import tempfile
import time
from pathlib import Path

import trio
from attrs import evolve

from orchestrator.models.common.ids import new_id
from orchestrator.models.events.events import ChatStream
from orchestrator.models.sessions.chat import ChatAnswer
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.services.plans.attempt import Attempt, Partial, TurnDone, TurnWaiting
from orchestrator.store.redis.connection import open_redis
from tests.queue.stage import SETTINGS, open_stage

KEY = f"k1:{base64.b64encode(bytes(range(32))).decode()}"
WORDS = " ".join(f"word{number}" for number in range(40))


class Tokens:
    """Answers with forty tokens, an event each."""

    async def run(self, run: Attempt, partial: Partial) -> TurnDone | TurnWaiting:
        message_id = str(run.message.metadata.message_id)
        for number, word in enumerate(WORDS.split(), start=1):
            await run.emit("chat.stream", ChatStream(message_id, number, f"{word} "))
        return TurnDone(ChatAnswer(message_id, new_id(), WORDS), "conversation-1", "1")


async def cpu_of(url: str, turns: int, keys: tuple[str, ...]) -> float:
    """Return the seconds of CPU that a turn of forty tokens, with one follower, takes this process."""
    async with open_redis(url) as redis:
        await redis.flushall()
    settings = evolve(SETTINGS, encryption_keys=keys, rate_tenant=100_000.0, rate_user=100_000.0)
    async with open_stage(url, settings, runner=Tokens()) as stage, trio.open_nursery() as nursery:
        session = await stage.session()

        async def follow() -> None:
            async with stage.hub.follow(session.tenant_id, session.session_id, capacity=10_000) as follower:
                while True:
                    for event in await follower.receive():
                        assert event.frame

        nursery.start_soon(follow)
        await stage.ended(session, await stage.say(session, WORDS))
        started = time.process_time()
        for _ in range(turns):
            await stage.ended(session, await stage.say(session, WORDS))
        spent = (time.process_time() - started) / turns
        nursery.cancel_scope.cancel()
    return spent


async def main(rounds: int, turns: int) -> None:
    clears, sealeds = [], []
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder), appendonly=False) as redis:
            await cpu_of(redis.url, turns, ())
            for _ in range(rounds):
                clear, sealed = [await cpu_of(redis.url, turns, keys) for keys in ((), (KEY,))]
                clears.append(clear)
                sealeds.append(sealed)
                print(f"clear {clear * 1e3:.2f} ms, encrypted {sealed * 1e3:.2f} ms, ratio {sealed / clear:.3f}")  # noqa: T201 - the result of a benchmark
    # What else runs on the machine only adds: the least of all rounds is the nearest to what the work costs.
    print(f"ratio of the least {min(sealeds) / min(clears):.3f}")  # noqa: T201 - the result of a benchmark


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    rounds, turns = (*given, *(7, 100)[len(given) :])
    trio.run(main, rounds, turns)
