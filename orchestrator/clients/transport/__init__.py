"""How a call reaches a service, by HTTP or by its queue, and how its answer is read."""
