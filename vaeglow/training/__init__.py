"""Training: the loop, the state it resumes from, the lock of that, and how long a step takes."""
