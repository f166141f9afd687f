"""One attempt at a task, of whichever kind: its services, its deadline, its retries, its end."""
