"""The config: what the user writes, checked, and turned into runs and files. No torch, no snakemake.

`layers` goes from config's layers to what a preset sees and to one run's values, `schema` knows keys, types and ranges,
`check` finds everything that can be wrong before the first job, `plan` says what tables, figures and claims need.
"""

from vaeglow.config.layers import effective, inherited, merge, nearest, resolve

__all__ = ["effective", "inherited", "merge", "nearest", "resolve"]
