"""The shapes of the platform's documents, tried over a running process."""
