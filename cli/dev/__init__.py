"""The development stack on this machine."""
