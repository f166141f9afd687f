"""Batches and schedules."""
