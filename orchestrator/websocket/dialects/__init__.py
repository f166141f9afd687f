"""Dialects of clients: the frames of the platform's documents, to and from this service's own."""
