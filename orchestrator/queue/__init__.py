"""The tenants' task queues: producer, consumer and the tasks they run."""
