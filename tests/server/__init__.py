"""The HTTP and WebSocket server, on the wire."""
