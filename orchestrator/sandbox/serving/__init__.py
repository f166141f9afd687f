"""The HTTP and queue servers of the sandbox, and the faults that can be asked of them."""
