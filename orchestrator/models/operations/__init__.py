"""What operators see and do: tenants, load, system events, breakers, revocations, consistency, transfers."""
