"""Routes of services and operators."""
