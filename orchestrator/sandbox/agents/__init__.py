"""The agents of the sandbox, one module each."""
