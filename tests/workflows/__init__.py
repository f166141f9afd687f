"""Workflows over the whole service and the development platform."""
