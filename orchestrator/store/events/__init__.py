"""Event logs, their followers, and notifications, in Redis."""
