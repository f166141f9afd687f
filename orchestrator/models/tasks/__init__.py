"""Tasks, their waits, timelines, replays, batches and schedules."""
