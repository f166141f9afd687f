"""What all tests share: one real Redis a worker, emptied for each test that asks for it."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from time import monotonic, sleep

import pytest
import redis
import structlog
from hypothesis import HealthCheck, settings

from orchestrator.sandbox.redis.data_lock import open_lock
from orchestrator.sandbox.redis.redis_binary import find_redis_binary
from orchestrator.sandbox.redis.redis_launch import RedisLaunch, clean_up, popen_options, prepare_launch
from tests.support.browser import MARKER, missing_for_browser

START_TIMEOUT = 20.0
LONG_TESTS = "tests/end_to_end/"
LONGEST_TESTS = tuple(f"{LONG_TESTS}test_{name}.py" for name in ("schema", "chaos", "console", "losing_processes"))

# The suite starts the service and the command hundreds of times: the first process compiles a module for all of them,
# even where the environment asks to leave no bytecode.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell has what it starts in the background ignore Ctrl-C, and nohup the end of a terminal: so would what the suite
# starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# By default the garbage collector looks at 700 new objects, and the collection of the tests makes millions that stay.
gc.set_threshold(50_000)

# A busy machine makes examples slow, which says nothing about the code.
settings.register_profile("suite", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# What is logged by default shows every local variable of a traceback, and takes longer over it than most tests run.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
)
_LOGS = structlog.get_config()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let whole runs over services of either sort be asked for."""
    parser.addoption(
        "--services",
        default="own",
        choices=("own", "documented"),
        help="the shapes in which the sandbox's services speak in tests/end_to_end",
    )


@pytest.fixture(autouse=True, scope="session")
def loggers_follow_their_configuration() -> Iterator[None]:
    """Keep loggers from remembering how they were configured when they were first used, as they do in a service."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", partial(_configured, structlog.configure))
        yield


def _configured(configure: Callable[..., None], **settings: object) -> None:
    configure(**settings | {"cache_logger_on_first_use": False})


@pytest.fixture(autouse=True)
def logs_as_configured_here() -> Iterator[None]:
    """Take back what a test has configured of the logs: a command that it ran, or the service."""
    yield
    structlog.configure(**_LOGS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the machine has no browser for.

    Each worker begins with its share of the tests that take longest, so that none is left alone with one at the end.
    """
    if missing_for_browser() is not None:
        left_out = [item for item in items if item.get_closest_marker(MARKER)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker(MARKER)]
    items[:] = _dealt(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Order tests for workers that get equal parts: modules of long tests are dealt out to them, and come first."""
    long = [item for item in items if item.nodeid.startswith(LONG_TESTS)]
    long.sort(key=lambda item: not item.nodeid.startswith(LONGEST_TESTS))
    short = iter([item for item in items if not item.nodeid.startswith(LONG_TESTS)])
    hands: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for place, (_, module) in enumerate(groupby(long, key=lambda item: item.path)):
        hands[place % workers].extend(module)
    dealt = [[*hand, *islice(short, max(0, len(items) // workers - len(hand)))] for hand in hands]
    return [*chain.from_iterable(dealt), *short]


def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone what has been collected: some millions of objects that stay until the end.

    To look through them takes half a second each time, in the middle of any test.
    """
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Run two workers more than there are cores: a third of the time a test waits for what it has started."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 2


def pytest_report_header() -> str | None:
    """Say that tests are left out."""
    missing = missing_for_browser()
    return None if missing is None else f"tests in a browser are left out: {missing}"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisLaunch]:
    """The address (`.url`, `.tcp_url`, `.port`) of the Redis of this worker, for its whole run."""
    data_dir: Path = tmp_path_factory.mktemp("redis")
    launch = prepare_launch(
        find_redis_binary(), data_dir, port=0, appendonly=False, fsync="no", extra=("--enable-debug-command", "local")
    )
    lock = open_lock(data_dir)
    options = popen_options(lock)
    with subprocess.Popen(launch.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **options) as launcher:
        try:
            _wait_until_ready(launch, launcher)
            yield launch
        finally:
            assert launcher.stdin is not None
            launcher.stdin.close()  # the launcher ends Redis, and then itself
            launcher.wait(timeout=10)
            os.close(lock)
            clean_up(launch)


@pytest.fixture(scope="session")
def _redis_for_flushing(redis_server: RedisLaunch) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def redis_url(redis_server: RedisLaunch, _redis_for_flushing: redis.Redis) -> str:
    """The address of an empty Redis."""
    _redis_for_flushing.flushall()
    return redis_server.url


def _wait_until_ready(launch: RedisLaunch, launcher: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + START_TIMEOUT
    while True:
        try:
            with redis.Redis.from_url(launch.url) as client:
                client.ping()
        except redis.RedisError:
            if launcher.poll() is not None or monotonic() > deadline:
                pytest.exit(f"Redis did not start: {launch.log_path.read_text()}", returncode=3)
            sleep(0.01)
        else:
            return
