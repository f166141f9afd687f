"""Tasks in Redis: admission, claims, records, timelines."""
