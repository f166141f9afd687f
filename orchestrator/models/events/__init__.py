"""Events and notifications that clients receive."""
