"""Requests to language models and embeddings, and the usage that they cause."""
