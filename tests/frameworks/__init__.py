"""What we use beyond the documentation of libraries is still there, and the tried versions are what they should be."""
