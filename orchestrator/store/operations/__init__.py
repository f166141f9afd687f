"""What operators work with, in Redis: tenants, nodes, audit, dead letters, transfers, consistency."""
