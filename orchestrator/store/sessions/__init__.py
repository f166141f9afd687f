"""Sessions, their rate limits and idempotency keys, in Redis."""
