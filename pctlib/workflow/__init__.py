"""Which notebook runs when, where it writes, and how it is executed."""
