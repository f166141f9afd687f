"""Guarded calls to downstream services, their fallbacks, and the agent catalog."""
