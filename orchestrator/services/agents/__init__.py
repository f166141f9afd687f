"""Agents and tools: list, show, assign, run."""
