"""One line that says why a run ended early, after Snakemake's own; a check of `make`'s SNAKEMAKE_FLAGS. No torch."""

import logging
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from vaeglow.config import nearest

STOPPED = "stopped: state saved, run again to go on"
LOCKED = "error: another snakemake runs in this folder, or was killed here: wait for it, or run `snakemake --unlock`"


class LastLine(logging.Handler):
    """Learns from Snakemake's log why a run ended, prints it when the log is closed. `targets`: what can be made."""

    def __init__(self, targets: Callable[[], Iterable[str]]) -> None:
        super().__init__()
        self.targets = targets
        self.stopped = False
        self.failed: dict[int, str] = {}  # what each job that failed says
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take an event. A job that failed may be tried again: what it said counts once Snakemake gives up."""
        text = record.getMessage()
        event = getattr(record, "event", "")
        missing = re.search(r"No rule to produce (.+) \(if you use", text)
        if event == "job_error":
            self.failed[record.jobid] = said_by_job(record)
        elif event == "job_finished":  # by a later attempt
            self.failed.pop(record.job_id, None)
        elif text.startswith(("Terminating processes on user request", "Will exit after finishing currently")):
            self.stopped = True  # Ctrl-C, SIGTERM
        elif "At least one job did not complete successfully" in text:
            self.lines = [STOPPED] if self.stopped else list(dict.fromkeys(self.failed.values()))
        elif "Directory cannot be locked" in text:
            self.lines = [LOCKED]
        elif missing:
            self.lines = [f"error: no rule makes '{missing[1]}'{nearest(missing[1], self.targets())}"]

    def shown(self, record: logging.LogRecord) -> bool:
        """Whether the terminal shows an event: after a stop no error of the jobs that it ends."""
        return not (self.stopped and record.levelno >= logging.ERROR)

    def close(self) -> None:
        """Print it, once."""
        while self.lines:
            print(self.lines.pop(0), file=sys.stderr)
        super().close()


def said_by_job(record: logging.LogRecord) -> str:
    """The last line of a failed job's own (`vaeglow.steps.cli.leave`), or where its log is."""
    logs = [Path(log).read_text("utf-8", "replace") for log in record.log if Path(log).is_file()]
    lines = re.findall("^(?:error|stopped): .*", "\n".join(logs), re.MULTILINE)
    if not lines:
        return f"error: {record.rule_name} failed: see {' '.join(record.log)}"
    return STOPPED if lines[-1].startswith("stopped") else lines[-1]


def check_flags(words: Iterable[str]) -> None:
    """Exit with a line where Snakemake has a traceback for a word among its options."""
    flag = ""
    for word in words:
        value = word
        if word.startswith("-"):
            flag, _, value = word.partition("=")
        if not value:
            continue
        if flag in ("--configfile", "--configfiles") and not Path(value).is_file():
            files = [*Path(value).parent.glob("*.y*ml"), *Path("config").rglob("*.yaml")]
            sys.exit(f"error: {flag}: there is no file {value}{nearest(value, map(str, files))}")
        if flag in ("--config", "-C") and "=" not in value:
            sys.exit(f"error: {value} after {flag} is not KEY=VALUE: targets come before {flag}")


if __name__ == "__main__":  # `make` asks first
    check_flags(sys.argv[1:])
