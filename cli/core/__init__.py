"""Modules that commands share: the API client, options, output, failures."""
