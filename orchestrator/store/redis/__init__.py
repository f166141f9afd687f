"""The Redis client on trio. Nothing in it knows this product."""
