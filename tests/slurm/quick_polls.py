"""`snakemake` for tests: it takes Ctrl-C, and waits at most two seconds for a look at the jobs, not ever longer."""

import signal
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

LONGEST = 2  # seconds

plain = RemoteExecutor.next_seconds_between_status_checks
RemoteExecutor.next_seconds_between_status_checks = property(
    plain.fget, lambda self, seconds: plain.fset(self, None if seconds is None else min(seconds, LONGEST))
)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a script's background
    sys.argv[0] = "snakemake"
    main()
