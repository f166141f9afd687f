"""Decisions over calls to other services: breaker, bulkhead, latency, retry."""
