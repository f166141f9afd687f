"""Guarded calls of downstream services, their fallbacks, and the agent catalog."""
