"""Orchestration plans, their state, and workflows."""
