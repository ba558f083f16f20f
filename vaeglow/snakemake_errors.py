"""One line that says why a run ended early, after Snakemake's own; a check of `make`'s SNAKEMAKE_FLAGS. No torch."""

import re
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from logging import ERROR, Handler, LogRecord
from pathlib import Path

from vaeglow.config import nearest, read_layer
from vaeglow.errors import UserError

STOPPED = "stopped: state saved, run again to go on"
NOT_BUILT = "error: not all is built: add the target `built`, for what there is (or `make report`)"
SLURM = "snakemake_executor_plugin_slurm"
LOCKED = "error: another snakemake runs in this folder, or was killed here: wait for it, or run `snakemake --unlock`"


class LastLine(Handler):
    """Learns from Snakemake's log why a run ended, prints it when the log is closed. `targets`: what can be made."""

    def __init__(self, targets: Callable[[], Iterable[str]]) -> None:
        super().__init__()
        self.targets = targets
        self.stopped = False
        self.failed: dict[int, str] = {}  # what each job that failed says
        self.lines: list[str] = []

    def emit(self, record: LogRecord) -> None:
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
        elif "marked for report but does not exist" in text:
            self.lines = [NOT_BUILT]
        elif missing:
            self.lines = [f"error: no rule makes '{missing[1]}'{nearest(missing[1], self.targets())}"]

    def shown(self, record: LogRecord) -> bool:
        """Whether the terminal shows an event: after a stop no error of the jobs that it ends."""
        return not (self.stopped and record.levelno >= ERROR)

    def close(self) -> None:
        """Print it, once."""
        while self.lines:
            print(self.lines.pop(0), file=sys.stderr)
        super().close()


def said_by_job(record: LogRecord) -> str:
    """The last line of a failed job's own (`vaeglow.steps.cli.exit_with`), or where its log is, if it says anything."""
    logs = [Path(log).read_text("utf-8", "replace") for log in record.log if Path(log).is_file()]
    text = "\n".join(logs)
    lines = re.findall("^(?:error|stopped): .*", text, re.MULTILINE)
    if not text.strip():
        return f"error: {record.rule_name} did not start: Snakemake says why above (`--quiet host`: more)"
    if not lines:
        return f"error: {record.rule_name} failed: see {' '.join(record.log)}"
    return STOPPED if lines[-1].startswith("stopped") else lines[-1]


def check_flags(words: Iterable[str]) -> None:
    """Refuse (UserError) a word among its options for which Snakemake has a traceback, or no reason."""
    flag = ""
    for word in words:
        value = word
        if word.startswith("-"):
            flag, _, value = word.partition("=")
        if not value:
            continue
        if flag in ("--configfile", "--configfiles"):
            check_overlay(flag, Path(value))
        if flag in ("--config", "-C") and "=" not in value:
            raise UserError(f"{value} after {flag} is not KEY=VALUE: targets come before {flag}")
        if flag in ("--executor", "-e", "--workflow-profile") and "slurm" in value and not find_spec(SLURM):
            raise UserError(f"{flag} {value} needs {SLURM}: {sys.executable} -m pip install 'vaeglow[slurm]'")


def check_overlay(flag: str, path: Path) -> None:
    """Refuse (UserError) a file that is not there, or no layer of a config."""
    if not path.is_file():
        files = [*path.parent.glob("*.y*ml"), *Path("config").rglob("*.yaml")]
        raise UserError(f"{flag}: there is no file {path}{nearest(str(path), map(str, files))}")
    read_layer(path)


if __name__ == "__main__":  # `make` asks first
    from vaeglow.steps import cli

    cli.run(lambda: check_flags(sys.argv[1:]))
