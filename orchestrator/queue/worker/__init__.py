"""The consumer of one process, and what runs beside it: scheduler, leases, sweeper, timers."""
