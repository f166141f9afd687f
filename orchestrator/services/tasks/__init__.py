"""Tasks: new ones, their callbacks, list, cancel."""
