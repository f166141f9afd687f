"""Calls that other services finish later, and the updates they send."""
