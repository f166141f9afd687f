"""The records that travel through the service: frozen attrs classes without I/O."""
