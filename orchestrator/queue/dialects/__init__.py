"""Queue entries of other programs, as the platform's documents have them."""
