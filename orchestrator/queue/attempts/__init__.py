"""One attempt at a task: its services, its deadline, its end."""
