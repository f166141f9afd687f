"""Which tenants have work now or later, and the schedules and batches that make it."""
