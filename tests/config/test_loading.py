"""Settings of downstream services: which there are, and their defaults, come from their records."""

import base64
from pathlib import Path

import pytest
from attrs import evolve

from orchestrator.clients.registry import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings, origins
from orchestrator.config.settings import ServiceSettings

SECRET = {"ORCH_JWT__SECRET": "s" * 32}


def test_a_service_has_the_defaults_of_its_record_where_nothing_is_set() -> None:
    assert load_settings(DEFAULTS, SECRET).services == DEFAULTS.services


def test_a_variable_sets_one_field_of_one_service() -> None:
    environ = {**SECRET, "ORCH_SERVICES__QUERY__TIMEOUT": "7", "ORCH_SERVICES__QUERY__TRANSPORT": "queue"}
    settings = load_settings(DEFAULTS, environ)
    query = evolve(DEFAULTS.services["query"], timeout=7.0, transport="queue")
    assert settings.services == {**DEFAULTS.services, "query": query}
    assert settings.uses_queues


def test_a_services_token_may_stand_in_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("secrets") / "token"
    file.write_text("secret\n")
    settings = load_settings(DEFAULTS, {**SECRET, "ORCH_SERVICES__QUERY__TOKEN_FILE": str(file)})
    assert settings.services["query"].token == "secret"


def test_all_faults_are_told_at_once_each_with_its_variable() -> None:
    environ = {
        **SECRET,
        "ORCH_SERVICES__NOWHERE__URL": "http://127.0.0.1:1",
        "ORCH_SERVICES": "{}",
        "ORCH_SERVICES__QUERY__TIMEOUT": "soon",
        "ORCH_SERVICES__EMBEDDING__CRITICALITY": "low",
        "ORCH_SERVICES__QUERY__TOKEN_FILE": "/nowhere/token",
        "ORCH_LEASE": "long",
    }
    missing = "[Errno 2] No such file or directory: '/nowhere/token'"
    with pytest.raises(SettingsFault) as caught:
        load_settings(DEFAULTS, environ)
    assert caught.value.faults == [
        "ORCH_SERVICES: there is no such setting",
        "ORCH_SERVICES__NOWHERE__URL: there is no such setting",
        "ORCH_LEASE: expected a number",
        f"ORCH_SERVICES__QUERY__TOKEN_FILE: expected a file that can be read: {missing}",
        "ORCH_SERVICES__QUERY__TIMEOUT: expected a number",
        "ORCH_SERVICES__EMBEDDING__CRITICALITY: expected one of critical, standard, non_critical",
    ]
    assert caught.value.settings.services["query"] == DEFAULTS.services["query"]


def test_only_services_that_have_a_record_can_be_set() -> None:
    billing = evolve(DEFAULTS, services={"billing": ServiceSettings(timeout=2.0)})
    settings = load_settings(billing, {**SECRET, "ORCH_SERVICES__BILLING__URL": "http://127.0.0.1:1"})
    assert settings.services == {"billing": ServiceSettings(url="http://127.0.0.1:1", timeout=2.0)}
    with pytest.raises(SettingsFault, match="ORCH_SERVICES__QUERY__URL: there is no such setting"):
        load_settings(billing, {**SECRET, "ORCH_SERVICES__QUERY__URL": "http://127.0.0.1:1"})


def test_what_is_in_force_is_told_with_its_origin() -> None:
    environ = {**SECRET, "ORCH_SERVICES__QUERY__TIMEOUT": "7"}
    told = {origin.path: origin for origin in origins(load_settings(DEFAULTS, environ), DEFAULTS, environ)}
    timeout, url = told["services.query.timeout"], told["services.query.url"]
    assert (timeout.value, timeout.default, timeout.source) == (7.0, 30.0, "ORCH_SERVICES__QUERY__TIMEOUT")
    assert (url.value, url.default, url.source) == ("", "", "default")


KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "ring", [f"a:{KEY[:-4]}", f"a {KEY}", f":{KEY}", "a:not base64", f"a:{KEY},a:{KEY}", f"a:{KEY},clear", "a:é"]
)
def test_a_wrong_ring_of_keys_stops_the_start_by_name_and_shows_no_key(ring: str) -> None:
    with pytest.raises(SettingsFault) as fault:
        load_settings(DEFAULTS, {"ORCH_JWT__SECRET": "s" * 32, "ORCH_ENCRYPTION_KEYS": ring})
    [told] = fault.value.faults
    assert told.startswith("ORCH_ENCRYPTION_KEYS: expected ")
    assert KEY[:20] not in told


def test_a_ring_of_keys_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"clear,a:{KEY}\n", encoding="utf-8")
    settings = load_settings(DEFAULTS, {"ORCH_JWT__SECRET": "s" * 32, "ORCH_ENCRYPTION_KEYS_FILE": str(file)})
    assert settings.encryption_keys == ("clear", f"a:{KEY}")
    assert KEY not in repr(settings)
