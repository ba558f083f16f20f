"""Training: the loop, the state it resumes from, its lock, and the timing of steps."""
