"""What the commands share: the API client, options, output, failures."""
