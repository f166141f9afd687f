"""Runs: tasks, batches and executions, by whichever id they are known."""
