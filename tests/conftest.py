"""What all tests share: one real Redis a worker, emptied for each test that asks for it."""

import os
import subprocess
from collections.abc import Iterator
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

# A busy machine makes examples slow, which says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@pytest.fixture(autouse=True)
def logs_as_configured_here() -> Iterator[None]:
    """Take back what a test has configured of the logs: a command that it ran, or the service."""
    yield
    structlog.configure(**_LOGS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the machine has no browser for.

    Begin with the tests that take longest, so that no worker is left alone with one at the end.
    """
    if missing_for_browser() is not None:
        left_out = [item for item in items if item.get_closest_marker(MARKER)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker(MARKER)]
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_TESTS))


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
