"""A study on several machines: what a job is, what it leaves, and who commits it."""
