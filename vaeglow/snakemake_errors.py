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
        self.targets, self.stopped, self.failed, self.lines = targets, False, {}, []

    def emit(self, record: logging.LogRecord) -> None:
        """Take an event. A job that failed may be tried again: what it said counts once Snakemake gives up."""
        text, event = record.getMessage(), getattr(record, "event", "")
        if event == "job_error":  # the step's own last line (`vaeglow.steps.cli.leave`)
            logs = [Path(log).read_text("utf-8", "replace") for log in record.log if Path(log).is_file()]
            said = [f"error: {record.rule_name} failed: see {' '.join(record.log)}"]
            said += re.findall("^(?:error|stopped): .*", "\n".join(logs), re.MULTILINE)
            self.failed[record.jobid] = STOPPED if said[-1].startswith("stopped") else said[-1]
        elif event == "job_finished":  # by a later attempt
            self.failed.pop(record.job_id, None)
        elif text.startswith(("Terminating processes on user request", "Will exit after finishing currently")):
            self.stopped = True  # Ctrl-C, SIGTERM
        elif "At least one job did not complete successfully" in text:
            self.lines = [STOPPED] if self.stopped else list(dict.fromkeys(self.failed.values()))
        elif "Directory cannot be locked" in text:
            self.lines = [LOCKED]
        elif found := re.search(r"No rule to produce (.+) \(if you use", text):
            self.lines = [f"error: no rule makes '{found[1]}'{nearest(found[1], self.targets())}"]

    def close(self) -> None:
        """Print it, once."""
        while self.lines:
            print(self.lines.pop(0), file=sys.stderr)
        super().close()


if __name__ == "__main__":  # `make` asks first: Snakemake has a traceback for these
    flag = ""
    for word in sys.argv[1:]:
        if word.startswith("-"):
            flag, _, word = word.partition("=")
        if word and flag in ("--configfile", "--configfiles") and not (path := Path(word)).is_file():
            near = nearest(word, map(str, [*path.parent.glob("*.y*ml"), *Path("config").rglob("*.yaml")]))
            sys.exit(f"error: {flag}: there is no file {word}{near}")
        elif word and flag in ("--config", "-C") and "=" not in word:
            sys.exit(f"error: {word} after {flag} is not KEY=VALUE: targets come before {flag}")
