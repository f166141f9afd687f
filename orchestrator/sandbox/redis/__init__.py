"""A Redis server of its own for development and tests."""
