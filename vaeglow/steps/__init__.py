"""One small script a rule of the workflow; the rule, the module and the log folder share a name.

Each is a function `main` under `cli.step`, which makes its command line of its signature and runs it under `python -m`.
"""
