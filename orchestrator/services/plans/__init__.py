"""Running plans of service calls: attempts, checkpoints, authorization."""
