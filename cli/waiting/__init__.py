"""Waiting for work of the service, and telling what keeps it."""
