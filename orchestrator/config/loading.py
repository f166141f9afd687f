"""Reading the settings, and telling all their faults at once."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Final

import cattrs
import typed_settings
from attrs import evolve, fields, frozen
from attrs import has as is_attrs
from typed_settings.exceptions import InvalidSettingsError
from typed_settings.types import LoadedSettings, LoaderMeta, OptionInfo, OptionList, SettingsClass

from orchestrator.config.settings import AgentOrchestratorSettings

PREFIX: Final = "ORCH_"
CLI_VARIABLES: Final = ("ORCH_API_URL", "ORCH_TENANT", "ORCH_TOKEN", "ORCH_PROFILE", "ORCH_API_KEY")
"""Variables of the command line, which are no settings of the service."""
_SERVICES: Final = "services"
"""The one setting that is several, by name; each service is loaded by itself."""
_OPTION: Final = re.compile(r"for option '([a-z_.]+)'")
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
    """Return the name of the environment variable of the setting `path` (`services.query.url`)."""
    return PREFIX + path.upper().replace(".", "__")


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

    Args:
        environ: the variables.
        defaults: the settings that are loaded, as they are where nothing is set.
        prefix: path of these settings, such as `services.query.`; empty for all.
        skip: paths below `prefix` that keep their defaults.
    """

    def __init__(self, environ: Mapping[str, str], defaults: Any, prefix: str, skip: Collection[str]) -> None:
        self.environ = environ
        self.defaults = defaults
        self.prefix = prefix
        self.skip = skip
        self.secrets = {path for path, _, notes in _walk(defaults) if notes["secret"]}
        self.unreadable: list[str] = []

    def __call__(self, settings_cls: SettingsClass, options: OptionList) -> LoadedSettings:
        found: dict[str, Any] = {}
        for option in options:
            if option.path == _SERVICES:
                continue
            value = None if option.path in self.skip else self._value(option)
            *parents, leaf = option.path.split(".")
            place = reduce(lambda inner, parent: inner.setdefault(parent, {}), parents, found)
            place[leaf] = _at(self.defaults, option.path) if value is None else value
        return LoadedSettings(found, LoaderMeta("environment"))

    def _value(self, option: OptionInfo) -> str | None:
        name = variable(self.prefix + option.path)
        if name in self.environ:
            return self.environ[name]
        if option.path not in self.secrets or f"{name}_FILE" not in self.environ:
            return None
        path = Path(self.environ[f"{name}_FILE"])
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.unreadable.append(f"{name}_FILE: expected a file that can be read: {error}")
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
    faults = [f"{name}: there is no such setting" for name in sorted(_unknown(environ, defaults))]
    settings: AgentOrchestratorSettings = _load(environ, defaults, "", faults)
    services = {
        name: _load(environ, service, f"services.{name}.", faults) for name, service in defaults.services.items()
    }
    settings = evolve(settings, services=services)
    faults += [fault for path, value, notes in _walk(settings) if (fault := _fault(path, value, notes))]
    faults += _contradictions(settings)
    if faults:
        raise SettingsFault(faults, settings)
    return settings


def origins(
    settings: AgentOrchestratorSettings, defaults: AgentOrchestratorSettings, environ: Mapping[str, str]
) -> list[SettingOrigin]:
    """Say of every setting what is in force and where it came from."""
    return [
        SettingOrigin(path, value, _at(defaults, path), _source(path, environ), notes["help"], notes["secret"])
        for path, value, notes in _walk(settings)
    ]


def _load(environ: Mapping[str, str], defaults: Any, prefix: str, faults: list[str]) -> Any:
    """Load the settings below `prefix`, and add what can't be read to `faults`."""
    kind, converter = type(defaults), _converter()
    loader = _Environment(environ, defaults, prefix, ())
    try:
        settings = typed_settings.load_settings(kind, [loader], converter=converter)
    except InvalidSettingsError as group:
        bad = {found[1] for error in group.exceptions if (found := _OPTION.search(str(error)))}
        if not bad:
            raise
        faults += [f"{variable(prefix + path)}: expected {_type_of(defaults, path)}" for path in sorted(bad)]
        again = _Environment(environ, defaults, prefix, bad)
        settings = typed_settings.load_settings(kind, [again], converter=converter)
    faults += loader.unreadable
    return settings


def _converter() -> cattrs.Converter:
    converter = typed_settings.converters.get_default_cattrs_converter()
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _items)
    return converter


def _items(value: Any, _: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    return tuple(stripped for item in items if (stripped := item.strip()))


def _walk(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    for attribute in fields(type(settings)):
        value = getattr(settings, attribute.name)
        if attribute.name == _SERVICES:
            for name, service in value.items():
                yield from _walk(service, f"{prefix}{_SERVICES}.{name}.")
        elif is_attrs(type(value)):
            yield from _walk(value, f"{prefix}{attribute.name}.")
        else:
            yield prefix + attribute.name, value, attribute.metadata


def _at(settings: Any, path: str) -> Any:
    """Return the setting `path`."""
    for name in path.split("."):
        settings = settings[name] if isinstance(settings, Mapping) else getattr(settings, name)
    return settings


def _fault(path: str, value: Any, notes: Mapping[str, Any]) -> str | None:
    expected = notes["check"](value) if notes["check"] else None
    return f"{variable(path)}: expected {expected}" if expected else None


def _contradictions(settings: AgentOrchestratorSettings) -> Iterator[str]:
    if not settings.jwt.secret and not settings.jwt.jwks_url:
        yield f"{variable('jwt.secret')}: expected a secret, or a URL in {variable('jwt.jwks_url')}"
    if settings.jwt.secret and len(settings.jwt.secret) < 32:
        yield f"{variable('jwt.secret')}: expected at least 32 characters"
    if not settings.pause_after < settings.suspend_after < settings.archive_after:
        yield f"{variable('suspend_after')}: expected more than pause_after and less than archive_after"


def _unknown(environ: Mapping[str, str], defaults: AgentOrchestratorSettings) -> set[str]:
    """Find misspelt variables; those of the command line (`ORCH_API_URL` and its like) are not the service's."""
    known = set(CLI_VARIABLES)
    for path, _, notes in _walk(defaults):
        known.add(variable(path))
        if notes["secret"]:
            known.add(f"{variable(path)}_FILE")
    return {name for name in environ if name.startswith(PREFIX) and name not in known}


def _type_of(settings: Any, path: str) -> str:
    parent, _, leaf = path.rpartition(".")
    owner = _at(settings, parent) if parent else settings
    kind = getattr(fields(type(owner)), leaf).type
    return _TYPES.get(getattr(kind, "__name__", str(kind)), "a list, its items separated by commas")


def _source(path: str, environ: Mapping[str, str]) -> str:
    name = variable(path)
    return next((source for source in (name, f"{name}_FILE") if source in environ), "default")
