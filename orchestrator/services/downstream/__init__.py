"""Guarded calls to the seven services, their fallbacks, and the agent catalog."""
