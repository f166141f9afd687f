"""Processes under load, and what may happen to them and to their Redis: each kind of it is a method."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
import orjson
import trio
from attrs import define, field, frozen
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, WebSocketConnection

from orchestrator.models.common.ids import new_id
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.script import Script
from tests.end_to_end.stack import DidNotStart, Follower, Node, Stack, open_stack
from tests.support.eventually import eventually
from tests.support.redis_proxy import Command, RedisProxy
from tests.support.settable_clock import SettableClock

PROCESSES: Final = 3
LOG_LENGTH: Final = 100_000
TENANT: Final = "acme"
KEYS: Final = Keys()
LIVE: Final = {b"pending", b"processing", b"retrying", b"waiting"}
ERRORS: Final = (
    b"READONLY You can't write against a read only replica.",
    b"NOPERM User default has no permissions to run the 'evalsha' command",
    b"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    b"NOGROUP No such key or consumer group 'orchestrator' in XREADGROUP with GROUP option",
    b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    b"OOM command not allowed when used memory > 'maxmemory'.",
    b"LOADING Redis is loading the dataset in memory",
    b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    b"NOREPLICAS Not enough good replicas to write.",
)
WRONG_TYPE: Final = b"WRONGTYPE Operation against a key holding the wrong kind of value"
SHARED: Final = (
    KEYS.ready, KEYS.due, KEYS.nodes, KEYS.loads, KEYS.debts, KEYS.weights, KEYS.clock, KEYS.tenants, KEYS.generation,
    KEYS.notices, KEYS.doubts, KEYS.revocations,
)  # fmt: skip
"""Keys that tenants share, and that the service fills again."""
LOSABLE: Final = tuple(
    Script(name).digest.encode()
    for name in (
        "admission/admit_turn", "attempts/claim", "attempts/checkpoint", "attempts/emit", "attempts/finish",
        "attempts/retry", "leases/renew", "leases/take_over", "scheduling/take_ready",
    )
)  # fmt: skip
GARBAGE: Final = (b"\xff\xfe", b"", b"{}", b"[]", b"null", b"-1", b"1e400", b"x" * 2000)
STEPS: Final = (-600, -60, -10, 5, 10, 60)
"""By how many seconds Redis' clock is set."""
LAST_WORDS: Final = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local steps = redis.pcall('HGET', key, 'steps')
  if type(steps) == 'string' then found[#found + 1] = string.sub(key, #ARGV[1]); found[#found + 1] = steps end
end
redis.call('FLUSHALL')
return found
"""
"""What Redis is emptied by: returns the timelines of all tasks at that moment."""


@frozen
class Turn:
    """A message that was accepted."""

    task_id: str
    message_id: str
    correlation_id: str


@define(eq=False)
class Watcher(Follower):
    """A client that follows a session, and comes back; what it is sent has no gap and no double."""

    last: int = 0
    epoch: str = ""
    gone: bool = False
    """Whether it was told that there is no such session any more."""
    why: str = ""
    """Why the last connection ended."""
    faults: list[str] = field(factory=list)

    async def watch(self, alive: Sequence[Node]) -> None:
        """Follow at any process until the session is gone."""
        while not self.gone:
            query = f"?last_offset={self.last}&epoch={self.epoch}" if self.epoch else ""
            try:
                if alive:
                    await self._connect(alive[-1].url, f"/ws/v1/chat/{self.session_id}{query}")
            except* ConnectionClosed as closed:
                self._end(closed)
            except* ConnectionRejected as rejected:
                self._end(rejected)
            except* (OSError, HandshakeError, trio.BrokenResourceError) as away:
                self.why = repr(away.exceptions)  # the process is not there yet: come back
            await trio.sleep(0.1)

    def _end(self, group: ExceptionGroup[Any]) -> None:
        [error] = group.exceptions
        self.why = repr(error)
        if isinstance(error, ConnectionClosed) and error.reason is not None:
            self.gone = error.reason.code == 4004
        elif isinstance(error, ConnectionRejected):
            self.gone = error.status_code == 404

    async def _listen(self, socket: WebSocketConnection) -> None:
        while True:
            frame = orjson.loads(await socket.get_message())
            offset, epoch, data = frame["offset"], frame["epoch"], frame["data"]
            if data.get("recovered") is False or not self.epoch:
                self.last, self.epoch = offset, epoch
            elif epoch != self.epoch or offset not in {self.last, self.last + 1}:
                self.faults.append(f"{offset} of {epoch} after {self.last} of {self.epoch}")
            self.last, self.epoch = offset, epoch


@define(eq=False)
class Chaos:
    """Processes, and everything that happens to them."""

    stack: Stack
    proxy: RedisProxy
    clock: SettableClock | None
    operator: Redis
    random: Random
    nursery: trio.Nursery
    alive: list[Node] = field(factory=list)
    done: list[str] = field(factory=list)
    """The kinds of what was done, in order."""
    turns: dict[str, list[Turn]] = field(factory=dict)
    """By session, in the order in which they were accepted."""
    watchers: list[Watcher] = field(factory=list)
    lost: dict[str, int] = field(factory=dict)
    """How often the tasks had finished that Redis held when it was emptied."""
    lost_sessions: set[str] = field(factory=set)
    emptied: int = 0
    """How often Redis was emptied, counted at the beginning and at the end: odd while that is under way."""
    damaged: set[str] = field(factory=set)
    """Tasks and sessions whose records were damaged."""

    async def start(self) -> None:
        """Start a process; again where Redis does not serve it at that moment, as a supervisor does."""
        settings = {
            "event_log_length": str(LOG_LENGTH),
            "lease": "3",
            "task_retry_delay": "0.2",
            "queue_timeout": "3600",
        }
        while True:
            try:
                self.alive.append(await self.stack.start(**settings))
                return
            except DidNotStart:
                await self.pause(0.1, 0.5)

    # Load

    async def speak(self, count: int, client: httpx.AsyncClient, random: Random, watched: bool) -> None:
        """Send messages to a session, each until it is accepted; to another one when the session is lost."""
        session_id = await self.open_session(client, random, watched)
        while count > 0:
            words = f"echo {random.randint(2, 15)} words every {random.randint(1, 30)} ms"
            turn = await self.send(session_id, words, client, random)
            if turn is None:
                session_id = await self.open_session(client, random, watched)
                continue
            self.turns[session_id].append(turn)
            count -= 1
            await trio.sleep(random.uniform(0, 0.8))

    async def open_session(self, client: httpx.AsyncClient, random: Random, watched: bool) -> str:
        """Create a session on any process; again where Redis is emptied before the answer."""
        while True:
            before = self.emptied
            answer = await self.ask(
                "session.create", {"agent_id": "echo"}, client, random, {"Idempotency-Key": new_id()}
            )
            if self.emptied == before and not before % 2:
                break
        assert answer.status_code == 201, answer.text
        session_id: str = answer.json()["data"]["session_id"]
        self.turns[session_id] = []
        if watched:
            watcher = Watcher(session_id, self.stack.token())
            self.watchers.append(watcher)
            self.nursery.start_soon(watcher.watch, self.alive)
        return session_id

    async def send(self, session_id: str, content: str, client: httpx.AsyncClient, random: Random) -> Turn | None:
        """Send a message until a process accepts it, once by its key; None where the session is lost or damaged."""
        headers = {"Idempotency-Key": new_id(), "X-Correlation-ID": new_id()}
        body = {"session_id": session_id, "content": content}
        answer = await self.ask("chat.message", body, client, random, headers)
        if answer.status_code == 202:
            data = answer.json()["data"]
            return Turn(data["task_id"], data["message_id"], headers["X-Correlation-ID"])
        if answer.status_code == 404:
            assert session_id in self.lost_sessions | self.damaged, answer.text
        else:
            assert session_id in self.damaged, answer.text
        return None

    async def ask(
        self, route: str, body: dict[str, Any], client: httpx.AsyncClient, random: Random, headers: dict[str, str]
    ) -> httpx.Response:
        """Ask any process until one answers something else than to come again."""
        while True:
            try:
                url = f"{random.choice(self.alive).url}/api/v1/{route}"
                answer = await client.post(url, json=body, headers=headers)
            except (httpx.TransportError, IndexError):
                await trio.sleep(0.1)
                continue
            if answer.status_code not in {429, 503}:
                return answer
            await trio.sleep(0.1)

    # What happens to processes

    async def kill(self) -> None:
        """Kill a process, as by kill -9."""
        await self.alive.pop(self.random.randrange(len(self.alive))).kill()
        await self.start()

    async def term(self) -> None:
        """Stop a process in order."""
        assert await self.alive.pop(self.random.randrange(len(self.alive))).stop() == 0
        await self.start()

    # What happens to Redis, and to a service

    async def fault(self) -> None:
        """A service fails."""
        what = self.random.choice([InjectedFaultKind.ERROR, InjectedFaultKind.CUT, InjectedFaultKind.GARBAGE])
        self.stack.sandbox.faults.add(InjectedFault(what, service="agent_execution", status=503, count=3))

    async def crash(self) -> None:
        """Redis is killed, and comes back."""
        await self.stack.redis.kill()
        await self.pause(0, 0.5)
        await self.stack.redis.start()

    async def refuse(self) -> None:
        """Redis refuses some commands, each with an error of its own, as one that it met in a script or before."""
        share = self.random.choice((0.05, 0.5, 1.0))
        errors = self.random.sample(ERRORS, 2)

        def choose(_: Command) -> bytes | None:
            if self.random.random() > share:
                return None
            return self.random.choice(errors) + self.random.choice((b"", b" script: 0, on @user_script:1."))

        with self.proxy.refusing(choose):
            await self.pause(0.2, 1.0)

    async def refuse_shared(self) -> None:
        """Redis finds something else in keys that tenants share."""

        def choose(command: Command) -> bytes | None:
            of_all = not any(TENANT.encode() in part for part in command)
            return WRONG_TYPE if of_all and any(key.encode() in command for key in SHARED) else None

        with self.proxy.refusing(choose):
            await self.pause(0.2, 1.0)

    async def lose_replies(self) -> None:
        """Connections break after Redis has done what it was asked for, and before it says so."""
        self.proxy.lose_replies(self.random.choices(LOSABLE, k=self.random.randint(1, 5)))
        await self.pause(0.2, 1.0)

    async def replicate(self) -> None:
        """Redis becomes a replica of a master that is not there, and a master again."""
        stale = self.random.choice(("yes", "no"))
        await self.do("CONFIG", "SET", "replica-serve-stale-data", stale)
        await self.do("REPLICAOF", "127.0.0.1", "1")
        await self.pause(0.2, 1.5)
        await self.do("REPLICAOF", "NO", "ONE")

    async def fill(self) -> None:
        """Redis is out of memory."""
        await self.do("CONFIG", "SET", "maxmemory", "1")
        await self.pause(0.2, 1.5)
        await self.do("CONFIG", "SET", "maxmemory", "0")

    async def block(self) -> None:
        """A script holds Redis, which is killed when it does so for too long."""
        await self.do("CONFIG", "SET", "busy-reply-threshold", "50")
        async with await trio.open_unix_socket(self.stack.redis.url.removeprefix("unix://")) as stream:
            await stream.send_all(b"EVAL 'while true do end' 0\r\n")
            await self.pause(0.3, 1.5)
            await self.do("SCRIPT", "KILL")

    async def unblock(self) -> None:
        """Commands that wait are broken off."""
        for client in (await self.do("CLIENT", "LIST")).decode().splitlines():
            fields = dict(part.split("=", 1) for part in client.split() if "=" in part)
            if "b" in fields["flags"]:
                await self.do("CLIENT", "UNBLOCK", fields["id"], "ERROR")

    async def forget(self) -> None:
        """Redis loses its scripts, and breaks off its connections."""
        await self.do("SCRIPT", "FLUSH")
        await self.do("CLIENT", "KILL", "TYPE", self.random.choice(("normal", "pubsub")), "SKIPME", "yes")

    async def confuse(self) -> None:
        """A key that tenants share is of the wrong type, and then gone."""
        key = self.random.choice(SHARED)
        await self.operator.gather([("DEL", key), ("SET", key, "x") if key != KEYS.clock else ("RPUSH", key, "x")])
        await self.pause(0.1, 0.5)
        await self.do("DEL", key)

    async def litter(self) -> None:
        """What is no entry, no member and no message of ours lies where those are."""
        garbage = self.random.choice(GARBAGE)
        for lane in ("", ":high", ":low"):
            await self.do("XADD", f"orchestrator:tasks:{TENANT}{lane}", "*", "message", garbage)
            await self.do("XADD", f"orchestrator:tasks:{TENANT}{lane}", "*", garbage or "x", garbage)
        for key in (KEYS.ready, KEYS.due, KEYS.doubts, KEYS.nodes):
            await self.do("ZADD", key, 1, garbage)
        await self.do("SADD", KEYS.tenants, garbage)
        for channel in (KEYS.wake_channel, KEYS.cancel_channel, KEYS.revocation_channel, KEYS.notification_channel):
            await self.do("PUBLISH", channel, garbage)
        for session_id in list(self.turns)[-3:]:
            await self.do("PUBLISH", KEYS.event_channel(TENANT, session_id), garbage)

    async def damage_task(self) -> None:
        """The record of a task that waits or runs is damaged."""
        recent = [
            turn.task_id for turns in self.turns.values() for turn in turns[-3:] if turn.task_id not in self.damaged
        ]
        self.random.shuffle(recent)
        for task_id in recent:
            key = KEYS.task(TENANT, task_id)
            record = await self.operator.hgetall(key)
            if record.get(b"status") in LIVE:
                self.damaged.add(task_id)
                await self.damage(key, sorted(record))
                return

    async def damage_session(self) -> None:
        """The record of a session is damaged."""
        well = [session_id for session_id in list(self.turns)[-8:] if session_id not in self.damaged]
        for session_id in self.random.sample(well, min(1, len(well))):
            key = KEYS.session(TENANT, session_id)
            record = await self.operator.hgetall(key)
            if record:
                self.damaged.add(session_id)
                await self.damage(key, sorted(record))

    async def damage(self, key: str, fields: Sequence[bytes]) -> None:
        """Damage a record in some way."""
        name = self.random.choice(fields)
        match self.random.randrange(4):
            case 0:
                await self.operator.gather([("DEL", key), ("SET", key, "x")])
            case 1:
                await self.do("HSET", key, name, self.random.choice(GARBAGE))
            case _:
                await self.do("HDEL", key, name)

    async def step_clock(self) -> None:
        """Redis' clock is set, and after a step back set right again."""
        assert self.clock is not None
        seconds = self.random.choice(STEPS)
        self.clock.step(seconds)
        await self.pause(0.2, 2.0)
        if seconds < 0:
            self.clock.step(-seconds)

    async def empty(self) -> None:
        """Redis is emptied; who follows a session is told that it is gone."""
        sessions = set(self.turns)
        self.lost_sessions |= sessions
        self.emptied += 1
        rows = await self.do("EVAL", LAST_WORDS, 0, KEYS.task(TENANT, "*"))
        self.emptied += 1
        self.lost |= {
            task_id.decode(): times_finished(steps) for task_id, steps in zip(rows[::2], rows[1::2], strict=True)
        }
        await eventually(
            "all who followed a session are told that it is gone",
            lambda: [one for one in self.watchers if one.session_id in sessions and not one.gone],
            lambda left: not left,
            within=30,
        )

    async def do(self, *command: Any) -> Any:
        """Give a command of an operator."""
        return await self.operator.execute_command(*command)

    async def pause(self, least: float, most: float) -> None:
        """Let it take a while."""
        await trio.sleep(self.random.uniform(least, most))


Kind = Callable[[Chaos], Awaitable[None]]
OF_PROCESSES: Final[dict[str, Kind]] = {"kill": Chaos.kill, "term": Chaos.term}
OF_REDIS: Final[dict[str, Kind]] = {
    "fault": Chaos.fault,
    "crash": Chaos.crash,
    "refuse": Chaos.refuse,
    "refuse_shared": Chaos.refuse_shared,
    "lose_replies": Chaos.lose_replies,
    "replicate": Chaos.replicate,
    "fill": Chaos.fill,
    "block": Chaos.block,
    "unblock": Chaos.unblock,
    "forget": Chaos.forget,
    "confuse": Chaos.confuse,
    "litter": Chaos.litter,
    "damage_task": Chaos.damage_task,
    "damage_session": Chaos.damage_session,
    "step_clock": Chaos.step_clock,
    "empty": Chaos.empty,
}


RARE: Final = {"empty"}
"""What happens once, and then now and then: little can be seen of a turn that Redis has lost."""


def times_finished(steps: bytes) -> int:
    """Return how often a task was finished, by its timeline."""
    return sum(line.split(b"\t")[1:2] == [b"finished"] for line in steps.split(b"\n"))


async def disturb(
    chaos: Chaos, kinds: dict[str, Kind], names: Sequence[str], seed: int, is_over: Callable[[], bool]
) -> None:
    """Let one kind after another happen, in an order of chance, until each was there and it is over."""
    random, due, begun = Random(seed), list[str](), 0
    chosen = [name for name in names if name in kinds]
    while chosen and (begun < len(chosen) or not is_over()):
        due = due or random.sample(chosen, len(chosen))
        name, begun = due.pop(), begun + 1
        if name in RARE and begun > len(chosen) and random.randrange(4):
            continue
        chaos.done.append(name)
        await kinds[name](chaos)
        await trio.sleep(random.uniform(0.1, 0.8))


@asynccontextmanager
async def open_chaos(folder: Path, seed: int, clock: SettableClock | None) -> AsyncIterator[Chaos]:
    """Open Redis behind a proxy, the sandbox, and processes of the service."""
    async with open_stack(folder) as stack, trio.open_nursery() as nursery:
        proxy = RedisProxy(stack.redis.port)
        await nursery.start(proxy.run)
        stack.environ["ORCH_REDIS_URL"] = proxy.url
        async with open_redis(stack.redis.url, reconnect_wait=30) as operator:
            chaos = Chaos(stack, proxy, clock, operator, Random(seed), nursery)
            async with trio.open_nursery() as starting:
                for _ in range(PROCESSES):
                    starting.start_soon(chaos.start)
            yield chaos
        nursery.cancel_scope.cancel()
