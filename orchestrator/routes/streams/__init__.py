"""Streams of events that `GET` routes answer with."""
