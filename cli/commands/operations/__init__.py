"""Commands on the service itself: its settings, checks, processes and load."""
