"""Messages to services, and their answers, lines and errors, as the platform's documents have them."""
