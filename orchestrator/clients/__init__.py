"""Everything that talks to the seven downstream services."""
