"""What is printed, and how: columns, YAML, characters that a terminal has."""
