"""What every request passes through: credentials, limits, context, errors."""
