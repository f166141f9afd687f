"""The target of a command: from options, then the environment, then a profile, then a running `dev` stack."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from cli.core.devfile import DevStack, find_stack, home
from cli.core.failures import CliFailure, Exit
from cli.core.selection import Options, current_options
from cli.http.tls import TlsFiles

DEFAULT_PROFILE: Final = "default"
"""The profile of commands for which none is chosen, where no `dev` stack runs either."""
PROFILE_FIELDS: Final = (
    *("api_url", "redis_url", "tenant", "token", "api_key"),
    *("ca_cert", "client_cert", "client_key"),
)


@frozen
class Target:
    """The addresses of a stack and the credentials of the caller; empty strings where they are unknown."""

    api_url: str
    ws_url: str
    redis_url: str = ""
    tenant: str = ""
    names_tenant: bool = False
    """Whether an option, the environment or a profile names the tenant: else it is the first one of a `dev` stack."""
    token: str = ""
    operator_token: str = ""
    """The token of commands that see the whole tenant; outside a `dev` stack the same as `token`."""
    api_key: str = ""
    prefers_key: bool = False
    """Whether commands of operators use the API key rather than the token: a key was given, and no token by option."""
    tls: TlsFiles = field(factory=TlsFiles)
    """What secures connections to the service."""
    stack: DevStack | None = None
    """The running `dev` stack that the addresses come from, if any."""


def config_path() -> Path:
    """Return the path of the file of profiles."""
    base = os.environ.get("XDG_CONFIG_HOME") or home() / ".config"
    return Path(base) / "nooble-orch" / "config.toml"


def read_profiles() -> dict[str, dict[str, str]]:
    """Read all profiles: `[profiles.NAME]` tables with the fields of `PROFILE_FIELDS`.

    Raises:
        CliFailure: the file is unreadable, or a profile has an unknown field or a value that is no text.
    """
    profiles = _read_config().get("profiles", {})
    fault = _fault_in(profiles)
    if fault:
        hint = f"A profile is a table [profiles.NAME]; it has {', '.join(PROFILE_FIELDS)}, each a text."
        raise CliFailure(f"{fault} in {config_path()}.", hint, Exit.USAGE)
    return dict(profiles)


def _fault_in(profiles: Any) -> str:
    """Return the first fault of the profiles as the file has them; empty: there is none."""
    if not isinstance(profiles, dict):
        return "There is no table of profiles"
    for name, fields in profiles.items():
        if not isinstance(fields, dict):
            return f"Profile '{name}' is no table"
        for field_name, value in fields.items():
            if field_name not in PROFILE_FIELDS:
                return f"Profile '{name}' has the unknown field '{field_name}'"
            if not isinstance(value, str):
                return f"Profile '{name}' has a value of {field_name} that is no text"
    return ""


def chosen_data_dir() -> Path | None:
    """Return the data directory that `--data-dir` or ORCH_DATA_DIR names; None: the nearest is meant."""
    environment = os.environ.get("ORCH_DATA_DIR")
    return current_options().data_dir or (Path(environment) if environment else None)


def find_target() -> Target:
    """Return the target of the running command.

    Raises:
        CliFailure: the named profile does not exist.
    """
    options, data_dir = current_options(), chosen_data_dir()
    profile = _profile(options, os.environ, data_dir)

    def pick(name: str, option: str | None) -> str:
        return option or os.environ.get(f"ORCH_{name.upper()}") or profile.get(name, "")

    # A data directory that is named beats an address of the environment.
    api_url = (options.api_url or ("" if options.data_dir else pick("api_url", None))).rstrip("/")
    tenant, token = pick("tenant", options.tenant), pick("token", options.token)
    # A named address is another stack than that of dev.json, whose credentials are of no use there.
    stack = None if api_url else find_stack(data_dir)
    found = target_of(stack, tenant) if stack else Target(api_url, api_url.replace("http", "ws", 1), tenant=tenant)
    return evolve(
        found,
        names_tenant=bool(tenant),
        redis_url=pick("redis_url", options.redis_url) or found.redis_url,
        token=token or found.token,
        operator_token=token or found.operator_token,
        api_key=pick("api_key", options.api_key) or found.api_key,
        tls=TlsFiles(*(pick(name, getattr(options, name)) for name in ("ca_cert", "client_cert", "client_key"))),
        prefers_key=not options.token and bool(pick("api_key", options.api_key)) and bool(found.tenant),
    )


def target_of(stack: DevStack, tenant: str = "") -> Target:
    """Return a `dev` stack as a target, with the credentials of a tenant; by default of its first one."""
    tenant = tenant or next(iter(stack.tenants), "")
    tokens, api_key = stack.tenants.get(tenant, {}), stack.api_keys.get("admin", "")
    return Target(
        api_url=stack.api_url,
        ws_url=stack.ws_url,
        redis_url=stack.redis_url,
        tenant=tenant,
        token=tokens.get("token", ""),
        operator_token=tokens.get("admin_token", ""),
        api_key=api_key,
        stack=stack,
    )


def require_service(target: Target) -> None:
    """Check that the target has the address of a service.

    Raises:
        CliFailure: it has none.
    """
    if not target.api_url:
        raise CliFailure(
            "There is no service to talk to.",
            "Start one with 'nooble-orch dev', or give its URL with --api-url or ORCH_API_URL.",
            Exit.UNREACHABLE,
        )


def current_profile() -> str:
    """Return the profile that `profile use` has chosen; empty: none.

    Raises:
        CliFailure: the file of profiles is unreadable.
    """
    return str(_read_config().get("current", ""))


def _read_config() -> dict[str, Any]:
    path = config_path()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CliFailure(f"The file {path} can't be read: {error}.", "", Exit.USAGE) from None
    import tomllib  # noqa: PLC0415 - where there are no profiles, nothing has to be read

    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise CliFailure(f"The file {path} can't be read: {error}.", "", Exit.USAGE) from None


def _profile(options: Options, environ: Mapping[str, str], data_dir: Path | None) -> dict[str, str]:
    name = options.profile or environ.get("ORCH_PROFILE") or current_profile()
    if not name:
        # A stack that runs here is what a command without a word is for.
        return {} if find_stack(data_dir) else read_profiles().get(DEFAULT_PROFILE, {})
    profiles = read_profiles()
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise CliFailure(f"There is no profile '{name}' in {config_path()}.", f"Known: {known}.", Exit.USAGE)
    return profiles[name]
