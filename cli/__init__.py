"""The nooble-orch command."""
