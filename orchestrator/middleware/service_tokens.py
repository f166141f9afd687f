"""Who reports on work that was handed on: a service, by a token."""

import math
from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest

from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import CredentialsMissing, InvalidParameter, PermissionMissing
from orchestrator.middleware.api_keys import Scope
from orchestrator.middleware.auth import Authenticator
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id
from orchestrator.models.common.principal import Principal, Role

_SERVICES = frozenset({Role.SERVICE, Role.ADMIN})


@frozen
class ServiceTokens:
    """Verifies the credentials of services.

    Args:
        authenticator: verifies tokens of the platform, and API keys.
        settings: the tokens that services are called with, which they may present as well.
    """

    authenticator: Authenticator
    settings: AgentOrchestratorSettings

    async def principal(self, headers: Mapping[str, str], named_tenant: Callable[[], Awaitable[str]]) -> Principal:
        """Return which service it is that asks, in one tenant.

        Args:
            headers: those of the request.
            named_tenant: returns the tenant that its message names; empty: none.

        Raises:
            Unauthorized: there is no credential, or a bad one.
            PermissionMissing: it is none of a service.
            TenantNotGranted, InvalidParameter: the tenant is not granted, missing or malformed.
        """
        if "x-api-key" in headers:
            return self.authenticator.service(headers, Scope.INTERNAL)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise CredentialsMissing("Send the token of a service in the header 'Authorization: Bearer …'.")
        service = self._called_with(token.strip())
        if service is None:
            principal = await self.authenticator.principal(headers, tenant=headers.get("x-tenant-id"))
            if principal.role not in _SERVICES:
                raise PermissionMissing("The token is none of a service.")
            return principal
        tenant = headers.get("x-tenant-id") or await named_tenant()
        if not is_id(tenant):
            fault = FieldFault("$.headers.X-Tenant-ID", "is required, as an id")
            raise InvalidParameter(f"The header X-Tenant-ID {fault.message}.", details=[fault])
        return Principal(tenant, service, Role.SERVICE, frozenset(), math.inf)

    def _called_with(self, token: str) -> str | None:
        """Return the service that is called with a token; all are compared, so the time taken tells nothing."""
        presented = token.encode("utf-8", "surrogatepass")
        found = [
            name
            for name, service in self.settings.services.items()
            if service.token and compare_digest(service.token.encode(), presented)
        ]
        return found[0] if found else None
