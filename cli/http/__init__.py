"""A synchronous HTTP client that is light to import: what a command that asks once needs, and no more."""
