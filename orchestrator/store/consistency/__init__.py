"""Consistency: whether the books of a tenant balance, and mending them."""
