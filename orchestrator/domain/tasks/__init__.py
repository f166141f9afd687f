"""Decisions over tasks: states, messages, fairness, wait reasons, replays, transfers, consistency."""
