"""What commands ask of the operating system: signals, files."""
