"""The development platform: an embedded Redis and stand-ins of the downstream services."""
