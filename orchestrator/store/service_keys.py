"""The names of the keys in Redis by which this service and others speak with each other; `keys` has all others."""

from attrs import frozen


@frozen
class ServiceKeys:
    """Renders keys of services."""

    hash_tags: bool = False

    def tenant(self, tenant_id: str) -> str:
        """Return the tenant as it stands in keys."""
        return f"{{{tenant_id}}}" if self.hash_tags else tenant_id

    def service_tasks(self, service: str, tenant_id: str) -> str:
        """Stream: what a service is asked for, of one tenant, where it is asked through its queue."""
        return f"{service}:tasks:{self.tenant(tenant_id)}"

    def service_results(self, service: str, tenant_id: str) -> str:
        """Stream: results of what a service has asked for through the queue, of one tenant."""
        return f"{service}:results:{self.tenant(tenant_id)}"

    def service_cancel(self, service: str) -> str:
        """Channel: requests of a service that were withdrawn."""
        return f"{service}:cancel"

    def replies(self, node: str) -> str:
        """Stream: what services answer to one process."""
        return f"orchestrator:replies:{node}"

    def execution(self, tenant_id: str, execution_id: str) -> str:
        """String: the task whose work a service calls by this id."""
        return f"orchestrator:execution:{self.tenant(tenant_id)}:{execution_id}"

    def notification(self, tenant_id: str, notification_id: str) -> str:
        """Set: the users to whom a notification of a service went."""
        return f"orchestrator:notification:{self.tenant(tenant_id)}:{notification_id}"
