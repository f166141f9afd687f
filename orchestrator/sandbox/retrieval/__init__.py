"""Finding passages in documents, and making an answer of them without a model."""
