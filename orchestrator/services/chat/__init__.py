"""Chat: messages, turns, history."""
