"""Settings of downstream services: which there are, and their defaults, come from their records."""

import base64
from pathlib import Path

import pytest
from attrs import evolve

from orchestrator.config import loading
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings, origins, secrets_of
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


TRACED = {**SECRET, "ORCH_TRACING": "true"}


def test_tracing_is_off_and_the_variables_of_opentelemetry_are_not_looked_at_while_it_is() -> None:
    environ = {**SECRET, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_BSP_MAX_QUEUE_SIZE": "many", "OTEL_OTHER": "1"}
    assert not load_settings(DEFAULTS, environ).traces


def test_tracing_is_set_by_the_variables_of_opentelemetry() -> None:
    environ = {
        **TRACED,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc, x=1",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x=2",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.25",
        "OTEL_SERVICE_NAME": "",
    }
    settings = load_settings(DEFAULTS, environ)
    otel = settings.otel
    assert settings.traces
    assert otel.endpoint == "http://collector:4318/v1/traces"
    assert otel.headers == {"authorization": "Bearer abc", "x": "2"}
    assert otel.resource == {"deployment.environment.name": "staging"}
    assert (otel.traces_sampler, otel.traces_sampler_arg, otel.service_name) == ("traceidratio", 0.25, "")
    told = {origin.path: origin for origin in origins(settings, DEFAULTS, environ)}
    assert told["otel.traces_sampler"].source == "OTEL_TRACES_SAMPLER"
    assert told["otel.service_name"].source == "default"
    assert told["otel.exporter_otlp_headers"].secret
    assert {"authorization=Bearer%20abc", "Bearer abc"} <= secrets_of(settings)


def test_an_endpoint_for_traces_comes_first_and_is_used_as_it_is() -> None:
    environ = {**TRACED, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector/t"}
    assert load_settings(DEFAULTS, environ).otel.endpoint == "http://collector/t"


def test_the_variable_of_opentelemetry_that_turns_everything_off_turns_tracing_off() -> None:
    assert not load_settings(DEFAULTS, {**TRACED, "OTEL_SDK_DISABLED": "true"}).traces


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "expected an absolute http:// or https:// URL"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "expected one of http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10", "expected a number from 100 to 60000"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere", "expected a file that can be read"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "expected name=value, or several of them with commas between"),
        ("OTEL_TRACES_SAMPLER_ARG", "half", "expected a number"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "expected a number from 0 to 1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "expected no more than OTEL_BSP_MAX_QUEUE_SIZE"),
        ("OTEL_SDK_DISABLED", "perhaps", "expected true or false"),
    ],
)
def test_a_wrong_variable_of_opentelemetry_stops_the_start(name: str, value: str, fault: str) -> None:
    with pytest.raises(SettingsFault) as caught:
        load_settings(DEFAULTS, {**TRACED, name: value})
    assert caught.value.faults == [f"{name}: {fault}"]


def test_tracing_without_its_extra_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda _: None)
    with pytest.raises(SettingsFault) as caught:
        load_settings(DEFAULTS, TRACED)
    assert caught.value.faults == [
        "ORCH_TRACING: expected the extra otel to be installed: pip install 'nooble-orch[otel]'"
    ]
    assert not load_settings(DEFAULTS, SECRET).traces
