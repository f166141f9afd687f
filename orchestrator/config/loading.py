"""Reading the settings, and telling all their faults at once."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import cattrs
import typed_settings
from attrs import fields, frozen
from attrs import has as is_attrs
from typed_settings.exceptions import InvalidSettingsError
from typed_settings.types import LoadedSettings, LoaderMeta, OptionInfo, OptionList, SettingsClass

from orchestrator.config.settings import AgentOrchestratorSettings, ServicesSettings

PREFIX: Final = "ORCH_"
CLI_VARIABLES: Final = ("ORCH_API_URL", "ORCH_TENANT", "ORCH_TOKEN", "ORCH_PROFILE", "ORCH_API_KEY")
"""Variables of the command line, which are no settings of the service."""
SERVICE_NAMES: Final = tuple(attribute.name for attribute in fields(ServicesSettings))
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
    """A loader of typed-settings: variables, and for secrets the files that `…_FILE` variables name."""

    def __init__(self, environ: Mapping[str, str], skip: frozenset[str]) -> None:
        self.environ = environ
        self.skip = skip
        self.secrets = {path for path, _, notes in _walk(AgentOrchestratorSettings()) if notes["secret"]}
        self.unreadable: list[str] = []

    def __call__(self, settings_cls: SettingsClass, options: OptionList) -> LoadedSettings:
        found: dict[str, Any] = {}
        for option in options:
            value = None if option.path in self.skip else self._value(option)
            if value is not None:
                *parents, leaf = option.path.split(".")
                place = found
                for parent in parents:
                    place = place.setdefault(parent, {})
                place[leaf] = value
        return LoadedSettings(found, LoaderMeta("environment"))

    def _value(self, option: OptionInfo) -> str | None:
        name = variable(option.path)
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


def load_settings(environ: Mapping[str, str] | None = None) -> AgentOrchestratorSettings:
    """Read the settings.

    Args:
        environ: instead of the process's own environment.

    Raises:
        SettingsFault: with every fault, each naming its variable and what was expected, never the value.
    """
    environ = os.environ if environ is None else environ
    faults = [f"{name}: there is no such setting" for name in sorted(_unknown(environ))]
    loader = _Environment(environ, frozenset())
    try:
        settings = _load(loader)
    except InvalidSettingsError:
        bad = {path for path, _, _ in _walk(AgentOrchestratorSettings()) if _unreadable(path, environ)}
        if not bad:
            raise
        faults += [f"{variable(path)}: expected {_type_of(path)}" for path in sorted(bad)]
        settings = _load(_Environment(environ, frozenset(bad)))
    faults += loader.unreadable
    faults += [fault for path, value, notes in _walk(settings) if (fault := _fault(path, value, notes))]
    faults += _contradictions(settings)
    if faults:
        raise SettingsFault(faults, settings)
    return settings


def origins(settings: AgentOrchestratorSettings, environ: Mapping[str, str] | None = None) -> list[SettingOrigin]:
    """Say of every setting what is in force and where it came from."""
    environ = os.environ if environ is None else environ
    defaults = {path: value for path, value, _ in _walk(AgentOrchestratorSettings())}
    return [
        SettingOrigin(path, value, defaults[path], _source(path, environ), notes["help"], notes["secret"])
        for path, value, notes in _walk(settings)
    ]


def _unreadable(path: str, environ: Mapping[str, str]) -> bool:
    """Tell whether the value of one setting can't be read as what it has to be."""
    if _source(path, environ) == "default":
        return False
    others = frozenset(other for other, _, _ in _walk(AgentOrchestratorSettings()) if other != path)
    try:
        _load(_Environment(environ, others))
    except InvalidSettingsError:
        return True
    return False


def _load(loader: _Environment) -> AgentOrchestratorSettings:
    return typed_settings.load_settings(AgentOrchestratorSettings, [loader], converter=_converter())


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
        if is_attrs(type(value)):
            yield from _walk(value, f"{prefix}{attribute.name}.")
        else:
            yield prefix + attribute.name, value, attribute.metadata


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


def _unknown(environ: Mapping[str, str]) -> set[str]:
    """Find misspelt variables; those of the command line (`ORCH_API_URL` and its like) are not the service's."""
    known = set(CLI_VARIABLES)
    for path, _, notes in _walk(AgentOrchestratorSettings()):
        known.add(variable(path))
        if notes["secret"]:
            known.add(f"{variable(path)}_FILE")
    return {name for name in environ if name.startswith(PREFIX) and name not in known}


def _type_of(path: str) -> str:
    owner: Any = AgentOrchestratorSettings()
    *parents, leaf = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    kind = next(attribute.type for attribute in fields(type(owner)) if attribute.name == leaf)
    return _TYPES.get(getattr(kind, "__name__", str(kind)), "a list, its items separated by commas")


def _source(path: str, environ: Mapping[str, str]) -> str:
    name = variable(path)
    return next((source for source in (name, f"{name}_FILE") if source in environ), "default")
