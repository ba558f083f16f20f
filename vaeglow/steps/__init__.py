"""One small script for each rule of the workflow; the rule, the module and the log folder share a name.

Each is a function `main` under `cli.step`, which derives its command line from its signature.
"""
