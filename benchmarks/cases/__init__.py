"""The cases: modules of peers, checks and ratios."""
