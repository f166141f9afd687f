"""redis-py and hiredis: what `frameworks.redis_inside` and the store's wire use."""

import inspect
from typing import Any

import hiredis
import pytest
import redis
import trio
from redis.commands import core
from redis.exceptions import InvalidResponse, ResponseError

from orchestrator.frameworks.redis_inside import ENCODER, FOR_CLIENTS, Commands, reply_shapes, url_options
from tests.frameworks.moved import need


async def test_every_command_is_a_call_of_execute_command() -> None:
    class Client(Commands):  # type: ignore[misc] # as in the store
        async def execute_command(self, *args: Any, **_: Any) -> Any:
            await trio.lowlevel.checkpoint()
            return args

    need(await Client().get("k") == ("GET", "k"), "redis", "get is no call of execute_command")
    need(await Client().xlen("k") == ("XLEN", "k"), "redis", "xlen is no call of execute_command")


def test_commands_ask_their_client_for_nothing_that_the_store_has_not() -> None:
    source = inspect.getsource(core)
    asked = {part.split("(")[0].split()[0] for part in source.split("self.get_")[1:]} & {
        "encoder", "connection_kwargs", "pipeline", "connection_pool",
    }  # fmt: skip
    need(asked <= {"encoder", "connection_kwargs"}, "redis", f"commands ask their client for get_{asked} too")
    for asked_for in ("self.connection_pool", "self.response_callbacks"):
        need(asked_for not in source, "redis", f"commands ask their client for {asked_for}")
    need(callable(getattr(ENCODER, "encode", None)), "redis", "the encoder does not encode")


def test_the_shapes_of_replies_are_a_table_by_command() -> None:
    shapes = reply_shapes()
    need(callable(shapes.get("CONFIG GET")), "redis", "response_callbacks has no CONFIG GET")
    need(shapes["PING"](b"PONG") is True, "redis", "the reply of PING is shaped in another way")


def test_options_for_clients_are_those_that_a_client_takes_away() -> None:
    source = inspect.getsource(redis.Redis.parse_response)
    for option in FOR_CLIENTS:
        need(option in source, "redis", f"a client does not take the option {option} away")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://ann:pw@h:1234/2", {"username": "ann", "password": "pw", "host": "h", "port": 1234, "db": 2}),
        ("unix:///run/redis.sock?db=3", {"path": "/run/redis.sock", "db": 3}),
    ],
)
def test_a_url_is_read(url: str, options: dict[str, Any]) -> None:
    read = url_options(url)
    need({name: read.get(name) for name in options} == options, "redis", f"parse_url reads {url} in another way")


def test_hiredis_packs_and_parses_with_what_it_is_told() -> None:
    nothing = object()
    reader = hiredis.Reader(protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=nothing)
    need(reader.gets() is nothing, "hiredis", "a reader without data gives something else than notEnoughData")
    reader.feed(b">2\r\n+a\r\n+b\r\n-ERR no\r\n")
    need(isinstance(reader.gets(), hiredis.PushNotification), "hiredis", "a push message is something else")
    need(isinstance(reader.gets(), ResponseError), "hiredis", "an error reply is something else than replyError")
    command: tuple[Any, ...] = ("GET", b"k")
    need(hiredis.pack_command(command) == b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "hiredis", "it packs in another way")
