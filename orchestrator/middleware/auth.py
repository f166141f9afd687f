"""Who asks: from a token or an API key to a principal of one tenant."""

from collections.abc import Callable, Mapping

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.api_keys import ApiKey
from orchestrator.errors import (
    CredentialsMissing,
    InvalidParameter,
    PermissionMissing,
    TenantNotGranted,
    Unauthorized,
)
from orchestrator.middleware.api_keys import ApiKeys, Scope, no_stored_key
from orchestrator.middleware.guards.failed_credentials import FailedCredentials
from orchestrator.middleware.jwt import TokenVerifier
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id
from orchestrator.models.common.principal import Principal


def never_revoked(_: Principal) -> bool:
    """Take every token for one that is not revoked."""
    return False


class Authenticator:
    """Verifies credentials. One serves the whole process, for HTTP and for sockets.

    Headers are given as a mapping with names in lower case (or one that does not mind the case).

    Args:
        settings: the keys.
        revoked: tells whether the token that a principal came with is revoked.
        stored_key: finds an API key that is kept in Redis.
    """

    def __init__(
        self,
        settings: AgentOrchestratorSettings,
        revoked: Callable[[Principal], bool] = never_revoked,
        stored_key: Callable[[str], ApiKey | None] = no_stored_key,
    ) -> None:
        self.failures = FailedCredentials(settings.auth_failures)
        self._revoked = revoked
        self._tokens = TokenVerifier(settings.jwt)
        self._api_keys = ApiKeys(settings.api_keys, stored_key)

    async def principal(self, headers: Mapping[str, str], *, tenant: str | None) -> Principal:
        """Return who the bearer token in `headers` belongs to.

        Args:
            headers: those of the request.
            tenant: the tenant that the client names; None where it names none.

        Raises:
            Unauthorized: there is no token, or a bad one.
            TenantNotGranted, InvalidParameter, ServiceUnreachable: see `principal_of`.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise CredentialsMissing("Send a token in the header 'Authorization: Bearer …'.")
        return await self.principal_of(token.strip(), tenant=tenant)

    async def principal_of(self, token: str, *, tenant: str | None) -> Principal:
        """Return who `token` belongs to, in the one tenant it carries or in that of several which the client names.

        Raises:
            Unauthorized: the token is forged, malformed, expired, revoked or not for this service.
            TenantNotGranted: the token does not carry `tenant`.
            InvalidParameter: the token carries several tenants, and none is named.
            ServiceUnreachable: the identity provider's keys cannot be had.
        """
        principals = (await self._tokens.verify(token)).principals
        if tenant is not None:
            if tenant not in principals:
                raise TenantNotGranted("The token does not carry this tenant.")
            return self.unrevoked(principals[tenant])
        if len(principals) > 1:
            raise _tenant_fault("is required, for the token carries several tenants")
        return self.unrevoked(next(iter(principals.values())))

    def withdrawn(self, principal: Principal) -> bool:
        """Tell whether the signing key that a principal's token was verified with has been withdrawn."""
        return self._tokens.withdrawn(principal)

    async def renew_keys(self) -> None:
        """Fetch the keys of the identity provider where they are in use and are to be renewed."""
        await self._tokens.keep_fresh()

    def unrevoked(self, principal: Principal) -> Principal:
        """Return `principal`, unless the token it came with is revoked.

        Raises:
            Unauthorized: it is.
        """
        if self._revoked(principal):
            raise Unauthorized("The token has been revoked.")
        return principal

    def service(
        self, headers: Mapping[str, str], scope: Scope, *, tenant_needed: bool = True, tenant_in_path: bool = False
    ) -> Principal:
        """Return who the API key in `headers` belongs to, in the tenant that `X-Tenant-ID` names.

        Args:
            headers: those of the request.
            scope: what the route asks for.
            tenant_needed: False where a route concerns no tenant; the principal's tenant may then be empty.
            tenant_in_path: whether the route concerns the tenant of its path alone, which stands in `headers`.

        Raises:
            Unauthorized: there is no key, or an unknown one.
            PermissionMissing: the key has another scope, or is of one tenant where the route concerns none.
            TenantNotGranted: the key is of another tenant.
            InvalidParameter: the tenant is missing or malformed.
        """
        presented = headers.get("x-api-key")
        if not presented:
            raise CredentialsMissing("Send a key in the header 'X-API-Key'.")
        key = self._api_keys.find(presented)
        if not key.opens(scope):
            raise PermissionMissing(f"The API key has not the scope '{scope}'.")
        tenant = headers.get("x-tenant-id", "")
        if key.tenant_id is not None:
            if not tenant_needed and not tenant_in_path:
                raise PermissionMissing("The API key is of one tenant; the route concerns all.")
            if tenant not in {"", key.tenant_id}:
                raise TenantNotGranted("The API key is of another tenant.")
            return key.principal(key.tenant_id)
        if not tenant and tenant_needed:
            raise _tenant_fault("is required")
        if tenant and not is_id(tenant):
            raise _tenant_fault("is no acceptable id")
        return key.principal(tenant)


def _tenant_fault(message: str) -> InvalidParameter:
    return InvalidParameter(
        f"The header X-Tenant-ID {message}.", details=[FieldFault("$.headers.X-Tenant-ID", message)]
    )
