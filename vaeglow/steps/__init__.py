"""A small script for each rule of the workflow, or for several (`train`, `probe`): docs/how-it-is-built.md.

Each is a function `main` under `cli.step`, which derives its command line from its signature.
"""
