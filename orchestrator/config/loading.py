"""Reading the settings, and telling all their faults at once."""

import os
from collections.abc import Iterator, Mapping
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import cattrs
import typed_settings
from attrs import Attribute, fields, frozen
from attrs import has as is_attrs
from typed_settings.types import LoadedSettings, LoaderMeta, OptionList, SettingsClass

from orchestrator.config.masking import secrets_in_url
from orchestrator.config.settings import AgentOrchestratorSettings

PREFIX: Final = "ORCH_"
OTEL: Final = "OTEL_"
"""Begins the variables that are OpenTelemetry's own; an empty one counts as not set, as its specification has it."""
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http"
CLI_VARIABLES: Final = (
    *("ORCH_API_URL", "ORCH_TENANT", "ORCH_TOKEN", "ORCH_PROFILE", "ORCH_API_KEY", "ORCH_DATA_DIR"),
    *("ORCH_CA_CERT", "ORCH_CLIENT_CERT", "ORCH_CLIENT_KEY"),
    "ORCH_CALLBACK_SECRET",
)
"""Variables of the command line, which are no settings of the service."""
_TYPES: Final = {"int": "a whole number", "float": "a number", "bool": "true or false"}


class SettingsFault(Exception):
    """The settings are wrong.

    Args:
        faults: all of them, one sentence each.
        settings: what they would be, with the default in place of what can't be read.
    """

    def __init__(self, faults: list[str], settings: AgentOrchestratorSettings) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
        self.settings = settings


def variable(path: str) -> str:
    """Return the name of the environment variable of the setting `path` (`services.query.url`, `otel.service_name`)."""
    section, _, name = path.partition(".")
    return OTEL + name.upper() if section == "otel" else PREFIX + path.upper().replace(".", "__")


@frozen
class SettingOrigin:
    """A setting in force: what it is and where it came from."""

    path: str
    value: Any
    default: Any
    source: str
    says: str
    secret: bool


class _Environment:
    """A loader of typed-settings: variables, for secrets the files that `…_FILE` variables name, else the defaults.

    What can't be read keeps its default, and is told in `faults`.
    """

    def __init__(self, environ: Mapping[str, str], defaults: AgentOrchestratorSettings) -> None:
        self.environ = environ
        self.defaults = defaults
        self.converter = _converter()
        self.faults: list[str] = []

    def __call__(self, settings_cls: SettingsClass, options: OptionList) -> LoadedSettings:
        found: dict[str, Any] = {}
        for path, value, attribute in _walk(self.defaults):
            *parents, leaf = path.split(".")
            place = reduce(lambda outer, name: outer.setdefault(name, {}), parents, found)
            place[leaf] = self._value(path, value, attribute)
        return LoadedSettings(found, LoaderMeta("environment"))

    def _value(self, path: str, default: Any, attribute: "Attribute[Any]") -> Any:
        text = self._text(path, secret=attribute.metadata["secret"])
        if text is None:
            return default
        kind = attribute.type or str
        try:
            return self.converter.structure(text, kind)
        except ValueError:
            self.faults.append(f"{variable(path)}: expected {_TYPES.get(kind.__name__, kind.__name__)}")
            return default

    def _text(self, path: str, *, secret: bool) -> str | None:
        name = variable(path)
        if name in self.environ and (self.environ[name] or not name.startswith(OTEL)):
            return self.environ[name]
        if not secret or f"{name}_FILE" not in self.environ:
            return None
        try:
            return Path(self.environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(f"{name}_FILE: expected a file that can be read: {error}")
            return None


def load_settings(
    defaults: AgentOrchestratorSettings, environ: Mapping[str, str] | None = None
) -> AgentOrchestratorSettings:
    """Read the settings.

    Args:
        defaults: what holds where nothing is set; the services that it names can be set, and no others.
        environ: instead of the process's own environment.

    Raises:
        SettingsFault: with every fault, each naming its variable and what was expected, never the value.
    """
    environ = os.environ if environ is None else environ
    loader = _Environment(environ, defaults)
    settings = typed_settings.load_settings(AgentOrchestratorSettings, [loader], converter=loader.converter)
    faults = [f"{name}: there is no such setting" for name in sorted(_unknown(environ, defaults))]
    faults += loader.faults
    faults += [fault for path, value, attribute in _walk(settings) if (fault := _fault(path, value, attribute))]
    if not settings.traces:
        faults = [fault for fault in faults if not fault.startswith(OTEL)]
    faults += _contradictions(settings)
    if faults:
        raise SettingsFault(faults, settings)
    return settings


def origins(
    settings: AgentOrchestratorSettings, defaults: AgentOrchestratorSettings, environ: Mapping[str, str]
) -> list[SettingOrigin]:
    """Say of every setting what is in force and where it came from."""
    by_path = {path: value for path, value, _ in _walk(defaults)}
    return [
        SettingOrigin(
            path, value, by_path[path], _source(path, environ), notes.metadata["help"], notes.metadata["secret"]
        )
        for path, value, notes in _walk(settings)
    ]


def secrets_of(settings: AgentOrchestratorSettings) -> frozenset[str]:
    """Return all that must not be shown of the settings: secrets, and the credentials in URLs."""
    found: set[str] = set()
    for _, value, attribute in _walk(settings):
        for text in value if isinstance(value, tuple) else (value,):
            if not isinstance(text, str):
                continue
            if "://" in text:
                found.update(secrets_in_url(text))
            elif attribute.metadata["secret"]:
                # Of keys that have a name the name is none.
                found.add(text.rpartition(":")[2])
    return frozenset(found.union(settings.otel.headers.values()))


def _converter() -> cattrs.Converter:
    converter = typed_settings.converters.get_default_cattrs_converter()
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _items)
    return converter


def _items(value: Any, _: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    return tuple(stripped for item in items if (stripped := item.strip()))


def _walk(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any, "Attribute[Any]"]]:
    """Yield every setting: its path, its value, and how it is declared."""
    for attribute in fields(type(settings)):
        value = getattr(settings, attribute.name)
        if isinstance(value, Mapping):
            for name, one in value.items():
                yield from _walk(one, f"{prefix}{attribute.name}.{name}.")
        elif is_attrs(type(value)):
            yield from _walk(value, f"{prefix}{attribute.name}.")
        else:
            yield prefix + attribute.name, value, attribute


def _fault(path: str, value: Any, attribute: "Attribute[Any]") -> str | None:
    check = attribute.metadata["check"]
    expected = check(value) if check else None
    return f"{variable(path)}: expected {expected}" if expected else None


def _contradictions(settings: AgentOrchestratorSettings) -> Iterator[str]:
    if not settings.jwt.secret and not settings.jwt.jwks_url:
        yield f"{variable('jwt.secret')}: expected a secret, or a URL in {variable('jwt.jwks_url')}"
    if settings.jwt.secret and len(settings.jwt.secret) < 32:
        yield f"{variable('jwt.secret')}: expected at least 32 characters"
    names = [key.partition(":")[0] for key in settings.encryption_keys]
    if "clear" in settings.encryption_keys[1:]:
        yield f"{variable('encryption_keys')}: expected clear in the first place"
    if len(set(names)) < len(names):
        yield f"{variable('encryption_keys')}: expected each id once"
    if settings.internal_bind:
        for path in ("internal_certfile", "internal_keyfile", "internal_ca_certs"):
            if not Path(getattr(settings, path) or "/").is_file():
                yield f"{variable(path)}: expected a file that can be read, since {variable('internal_bind')} is set"
        if not settings.internal_subjects:
            yield f"{variable('internal_subjects')}: expected a subject, since {variable('internal_bind')} is set"
    if settings.traces:
        yield from _untraceable(settings)
    if not settings.pause_after < settings.suspend_after < settings.archive_after:
        yield f"{variable('suspend_after')}: expected more than pause_after and less than archive_after"


def _untraceable(settings: AgentOrchestratorSettings) -> Iterator[str]:
    """Say why nothing can be traced."""
    if not _is_installed(_EXPORTER):
        yield f"{variable('tracing')}: expected the extra otel to be installed: pip install 'nooble-orch[otel]'"
    otel = settings.otel
    if otel.exporter_otlp_client_key and not otel.exporter_otlp_client_certificate:
        key, certificate = variable("otel.exporter_otlp_client_key"), variable("otel.exporter_otlp_client_certificate")
        yield f"{certificate}: expected a file that can be read, since {key} is set"
    if otel.bsp_max_export_batch_size > otel.bsp_max_queue_size:
        most = variable("otel.bsp_max_queue_size")
        yield f"{variable('otel.bsp_max_export_batch_size')}: expected no more than {most}"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _unknown(environ: Mapping[str, str], defaults: AgentOrchestratorSettings) -> set[str]:
    """Find misspelt variables; those of the command line (`ORCH_API_URL` and its like) are not the service's."""
    known = set(CLI_VARIABLES)
    for path, _, attribute in _walk(defaults):
        known.add(variable(path))
        if attribute.metadata["secret"]:
            known.add(f"{variable(path)}_FILE")
    return {name for name in environ if name.startswith(PREFIX) and name not in known}


def _source(path: str, environ: Mapping[str, str]) -> str:
    name = variable(path)
    for source in (name, f"{name}_FILE"):
        if source in environ and (environ[source] or not source.startswith(OTEL)):
            return source
    return "default"
