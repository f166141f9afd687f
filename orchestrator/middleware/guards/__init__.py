"""What stands before credentials: where a request comes from, and how much of it is taken."""
