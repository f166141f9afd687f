"""Decisions of the gateway: budgets and cache keys."""
