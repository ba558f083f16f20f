"""`snakemake` for tests: at most two seconds between two looks at the jobs.

The Slurm plugin waits 10 s longer after every look at which no job had ended, and nothing in its settings bounds that.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

LONGEST = 2  # seconds

plain = RemoteExecutor.next_seconds_between_status_checks
RemoteExecutor.next_seconds_between_status_checks = property(
    plain.fget, lambda self, seconds: plain.fset(self, None if seconds is None else min(seconds, LONGEST))
)

if __name__ == "__main__":
    sys.argv[0] = "snakemake"
    main()
