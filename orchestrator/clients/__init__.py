"""Clients of the downstream services: a module each, with the record of its service."""
