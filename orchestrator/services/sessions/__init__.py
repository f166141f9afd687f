"""Sessions and their WebSocket tickets."""
