"""Stand-ins of the seven services, one module each."""
