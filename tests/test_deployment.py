"""What the service is deployed with says what the service takes: the image, and the stack of compose.yaml."""

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML has no types of its own

from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import load_settings

ROOT: Final = Path(__file__).parents[1]
_GIVEN: Final = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()


@pytest.fixture
def stack() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def environment(stack: dict[str, Any], **given: str) -> dict[str, str]:
    """Return what a replica gets, as Compose fills it in."""

    def fill(found: re.Match[str]) -> str:
        name, kind, otherwise = found.groups()
        if name in given:
            return given[name]
        assert kind == "-", f"{name} must be given"
        return str(otherwise)

    fields = stack["services"]["orchestrator"]["environment"]
    return {name: _GIVEN.sub(fill, value) for name, value in fields.items()}


def test_a_replica_starts_with_the_secret_alone(stack: dict[str, Any]) -> None:
    settings = load_settings(DEFAULTS, environment(stack, ORCH_JWT__SECRET="s" * 64))
    assert settings.redis_url == "redis://redis:6379/0"
    assert settings.encryption_keys == ()


def test_what_is_given_to_the_stack_reaches_its_replicas(stack: dict[str, Any]) -> None:
    given = {
        "ORCH_JWT__SECRET": "s" * 64,
        "ORCH_PUBLIC_URL": "https://orchestrator.example.com",
        "ORCH_SERVICES__QUERY__URL": "http://query:8000",
    }
    settings = load_settings(DEFAULTS, environment(stack, **given))
    assert settings.public_url == "https://orchestrator.example.com"
    assert settings.services["query"].url == "http://query:8000"


def test_every_service_behind_can_be_named(stack: dict[str, Any]) -> None:
    named = {f"ORCH_SERVICES__{name.upper()}__URL" for name in DEFAULTS.services}
    assert named == {name for name in environment(stack, ORCH_JWT__SECRET="s") if name.startswith("ORCH_SERVICES__")}


def test_redis_keeps_what_is_accepted_and_replicas_stop_in_order(stack: dict[str, Any]) -> None:
    redis, replica = stack["services"]["redis"], stack["services"]["orchestrator"]
    assert redis["command"] == ["redis-server", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]
    assert [place.partition(":")[0] for place in redis["volumes"]] == list(stack["volumes"])
    settings = load_settings(DEFAULTS, environment(stack, ORCH_JWT__SECRET="s" * 64))
    assert float(replica["stop_grace_period"].removesuffix("s")) > settings.drain_timeout
    assert (replica["read_only"], replica["deploy"]["replicas"]) == (True, 2)


def test_the_image_listens_where_its_healthcheck_and_the_proxy_ask(stack: dict[str, Any]) -> None:
    [bound] = tomllib.loads((ROOT / "hypercorn.toml").read_text())["bind"]
    port = bound.rpartition(":")[2]
    assert stack["services"]["proxy"]["command"][-1] == f"orchestrator:{port}"
    assert f"EXPOSE {port}\n" in DOCKERFILE
    command = json.loads(DOCKERFILE.partition("HEALTHCHECK")[2].partition("CMD ")[2].splitlines()[0])
    assert command[:3] == ["python", "-I", "-c"]
    assert f"127.0.0.1:{port}/health/live" in command[3]
    ast.parse(command[3])


def test_the_image_is_made_of_files_that_are_there_and_runs_without_root() -> None:
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert (ROOT / source).exists()
    for locked in re.findall(r"-r (\S+)", DOCKERFILE):
        assert (ROOT / locked).exists()
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert ".env" in (ROOT / ".dockerignore").read_text().splitlines()
