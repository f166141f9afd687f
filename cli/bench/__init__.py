"""`bench`: the load, and what it has shown."""
