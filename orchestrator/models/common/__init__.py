"""Models that every capability shares: ids, timestamps, envelopes, pages, principals."""
