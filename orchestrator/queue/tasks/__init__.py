"""What a claimed task does, one module a kind."""
