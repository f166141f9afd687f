"""Commands on tenants: their state, queues, transfers and usage."""
