"""Commands on what is done: tasks, dead letters, batches, schedules, workflows, sessions and their events."""
