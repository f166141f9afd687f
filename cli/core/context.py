"""Which stack a command talks to: options, then the environment, then a profile, then a running `dev` stack."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from cli.core.devfile import DevStack, find_stack
from cli.core.failures import CliFailure, Exit
from cli.core.selection import Options, current_options

PROFILE_FIELDS: Final = ("api_url", "redis_url", "tenant", "token", "api_key")


@frozen
class Target:
    """A stack, and who asks it. Empty strings where nothing is known."""

    api_url: str
    ws_url: str
    redis_url: str
    tenant: str
    token: str
    operator_token: str
    """For commands that look at a whole tenant; the same as `token` outside a `dev` stack."""
    api_key: str
    stack: DevStack | None
    """The running `dev` stack, if the address comes from it."""


def config_path() -> Path:
    """Return where the profiles are."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "nooble-orch" / "config.toml"


def read_profiles() -> dict[str, dict[str, str]]:
    """Read all profiles: `[profiles.NAME]` tables with api_url, redis_url, tenant, token, api_key.

    Raises:
        CliFailure: the file is not as it should be.
    """
    path = config_path()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8")).get("profiles", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CliFailure(f"The file {path} can't be read: {error}.", "", Exit.USAGE) from None
    for name, fields in profiles.items():
        unknown = sorted(set(fields) - set(PROFILE_FIELDS))
        if unknown:
            hint = f"A profile has {', '.join(PROFILE_FIELDS)}."
            raise CliFailure(f"Profile '{name}' in {path} has the unknown field '{unknown[0]}'.", hint, Exit.USAGE)
    return dict(profiles)


def find_target(*, data_dir: Path | None = None) -> Target:
    """Put together where the command goes; reads the options of the running command.

    Raises:
        CliFailure: a profile is named that does not exist.
    """
    options = current_options()
    profile = _profile(options, os.environ)

    def pick(name: str, option: str | None) -> str:
        return option or os.environ.get(f"ORCH_{name.upper()}") or profile.get(name, "")

    api_url = pick("api_url", options.api_url).rstrip("/")
    tenant, token = pick("tenant", options.tenant), pick("token", options.token)
    # Another stack's credentials are of no use at an address that was named, so dev.json counts as a whole or not.
    stack = None if api_url else find_stack(data_dir)
    tokens: Mapping[str, str] = {}
    if stack is not None:
        tokens = stack.tenants.get(tenant or next(iter(stack.tenants), ""), {})
        tenant = tenant or next(iter(stack.tenants), "")
    return Target(
        api_url=api_url or (stack.api_url if stack else ""),
        ws_url=stack.ws_url if stack else api_url.replace("http", "ws", 1),
        redis_url=pick("redis_url", options.redis_url) or (stack.redis_url if stack else ""),
        tenant=tenant,
        token=token or tokens.get("token", ""),
        operator_token=token or tokens.get("admin_token", ""),
        api_key=pick("api_key", None) or (stack.api_keys.get("admin", "") if stack else ""),
        stack=stack,
    )


def need_service(target: Target) -> None:
    """Make sure that a service is known.

    Raises:
        CliFailure: none is.
    """
    if not target.api_url:
        raise CliFailure(
            "There is no service to talk to.",
            "Start one with 'nooble-orch dev', or name one with --api-url or ORCH_API_URL.",
            Exit.UNREACHABLE,
        )


def _profile(options: Options, environ: Mapping[str, str]) -> dict[str, str]:
    name = options.profile or environ.get("ORCH_PROFILE")
    if not name:
        return {}
    profiles = read_profiles()
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise CliFailure(f"There is no profile '{name}' in {config_path()}.", f"Known: {known}.", Exit.USAGE)
    return profiles[name]
