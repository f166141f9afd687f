"""What several services share: pages, cursors, idempotency, rate limits, revocations."""
