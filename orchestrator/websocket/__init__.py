"""The native WebSocket side of the service."""
