"""Replies and task updates that services send through Redis."""
