"""Transports: calls over HTTP or through queues, and the reading of answers."""
