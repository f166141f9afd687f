"""Decisions over plans: validity, order of calls, conditions, references."""
