"""Stand-ins of the downstream services: a module each, with the name of its service."""
