"""Operators' services: tenants, dead letters, replays, transfers, load, health, consistency."""
