"""Workflows and delegated calls, in Redis."""
