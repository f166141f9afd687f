"""Sessions and chat messages."""
