"""Agents and tools, as Agent Management and Tool Registry describe them and as clients see them."""
