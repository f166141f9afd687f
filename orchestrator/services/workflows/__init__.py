"""Workflows of the Workflow Engine and of users' own plans."""
