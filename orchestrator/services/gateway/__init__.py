"""The only gate to language models and embeddings."""
