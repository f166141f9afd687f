"""The plan of a development stack: its addresses, keys and settings. Nothing is started here."""

import os
import secrets
import socket
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from attrs import frozen

from cli.core.devfile import SECRET_NAME, write_private
from cli.core.failures import CliFailure, Exit
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings, variable
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.ports import free_port

HOST: Final = "127.0.0.1"
TENANTS: Final = ("acme", "globex")
TOKEN_SECONDS: Final = 30 * 86_400.0
DRAIN_SECONDS: Final = "1"
ORIGINS: Final = ("http://localhost:*", "http://127.0.0.1:*", "null")
"""Pages of any server on this machine may call; `null` is what browsers call the origin of a page from a file.

Any page can have the origin `null`, but none gets anywhere without a token, which only a person can give it.
"""


@frozen
class Plan:
    """The decisions before the first process is started."""

    data_dir: Path
    port: int
    sandbox_port: int
    workers: int
    secret: str
    api_keys: Mapping[str, str]
    """API keys by scope."""
    environ: Mapping[str, str]
    """The environment of the service, without the URL of Redis."""
    sandboxed: tuple[str, ...]
    """The downstream services that the sandbox replaces."""

    @property
    def api_url(self) -> str:
        """The URL of the service."""
        return f"http://{HOST}:{self.port}"

    @property
    def sandbox_url(self) -> str:
        """The URL of the sandbox."""
        return f"http://{HOST}:{self.sandbox_port}"

    def tokens(self) -> dict[str, dict[str, str]]:
        """Create the tokens of every tenant, by tenant and kind."""
        return {
            tenant: {
                "token": self._token(tenant, "developer", Role.USER),
                "admin_token": self._token(tenant, "operator", Role.ADMIN),
            }
            for tenant in TENANTS
        }

    def _token(self, tenant: str, user: str, role: Role) -> str:
        issuer, audience = self.environ.get("ORCH_JWT__ISSUER", ""), self.environ.get("ORCH_JWT__AUDIENCE", "")
        return create_token(self.secret, tenant, user, role, ttl=TOKEN_SECONDS, issuer=issuer, audience=audience)


def make_plan(data_dir: Path, port: int, workers: int) -> Plan:
    """Return the plan, made from the environment and from the secret of earlier stacks in the data directory.

    Args:
        data_dir: the data directory.
        port: of the service; 0: a free one.
        workers: the number of processes of the service.

    Raises:
        CliFailure: the port is taken, or a setting is invalid.
    """
    port = _check_port(port) if port else free_port()
    sandbox_port = free_port()
    data_dir.mkdir(parents=True, exist_ok=True)
    # What is in it is its owner's alone: contents, credentials, logs.
    data_dir.chmod(0o700)
    secret = os.environ.get("ORCH_JWT__SECRET") or _kept_secret(data_dir)
    api_keys = {scope: secrets.token_urlsafe(32) for scope in ("internal", "admin")}
    environ = dict(os.environ)
    sandboxed = tuple(name for name in DEFAULTS.services if not environ.get(variable(f"services.{name}.url")))
    environ |= {variable(f"services.{name}.url"): f"http://{HOST}:{sandbox_port}/{name}" for name in sandboxed}
    own_keys = [f"dev:{scope}:{sha256(key.encode()).hexdigest()}" for scope, key in api_keys.items()]
    environ["ORCH_API_KEYS"] = ",".join(filter(None, [environ.get("ORCH_API_KEYS", ""), *own_keys]))
    environ["ORCH_JWT__SECRET"] = secret
    environ.setdefault("ORCH_DRAIN_TIMEOUT", DRAIN_SECONDS)
    environ.setdefault("ORCH_ALLOWED_ORIGINS", ",".join(ORIGINS))
    # The stack has a Redis of its own; the variable is for other commands.
    environ.pop("ORCH_REDIS_URL", None)
    environ.pop("ORCH_REDIS_URL_FILE", None)
    try:
        load_settings(DEFAULTS, environ)
    except SettingsFault as fault:
        hint = "'nooble-orch config' shows all settings."
        raise CliFailure("; ".join(fault.faults) + ".", hint, Exit.USAGE) from None
    return Plan(data_dir, port, sandbox_port, workers, secret, api_keys, environ, sandboxed)


def _kept_secret(data_dir: Path) -> str:
    path = data_dir / SECRET_NAME
    if not path.exists():
        write_private(path, secrets.token_urlsafe(48) + "\n")
    return path.read_text(encoding="utf-8").strip()


def _check_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            message = f"Port {port} can't be used: {error.strerror}."
            raise CliFailure(message, "Choose another with --port; 0 takes a free one.") from None
    return port
