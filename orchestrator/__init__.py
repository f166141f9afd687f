"""The Agent Orchestrator Service."""
