"""The gateway's reservations, answer cache and usage ledger, in Redis."""
