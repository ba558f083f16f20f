"""Estimates the time left for a workflow from its finished jobs. Light: it runs in Snakemake's main process."""

import time
from contextlib import suppress
from datetime import timedelta
from logging import Handler, getLogger
from operator import itemgetter
from typing import Any

from vaeglow.files import Facts, read_json, write_json

RUN_LABEL = "{model} on {dataset}, seed {seed}"  # by it a training's own estimate is found
RECORD = ".snakemake/vaeglow_jobs.json"  # what is known of each job
# Seconds of the demo's jobs on one core; a job of another rule counts 1. At other presets, on other machines: times a
# factor, one for trainings and one for the rest, taken from the finished job with the longest time here (if several,
# from the last). One factor is enough for all trainings: at every preset the models train about equally long.
TYPICAL = {
    "train_vae": 28,
    "train_glow_layer": 28,
    "train_baseline": 71,
    "train_joint": 60,
    "train_two_stage": 12,
    "fid_reference": 13,
    "evaluate": 16,
    "sample": 2,
    "likelihood": 4,
    "evaluate_snapshots": 50,
    "time_epoch": 100,
}


class TimeLeft(Handler):
    """Keeps `RECORD` by Snakemake's log events, and logs the time left when a job is done."""

    def __init__(self, workflow: Any) -> None:
        super().__init__()
        self.workflow = workflow
        self.jobs: dict[Any, Facts] = {}

    def emit(self, record: Any) -> None:
        """Take an event. Under --quiet there is none when a job is done: it is noticed when the next starts."""
        event = getattr(record, "event", "")
        with suppress(Exception):  # without an estimate the jobs go on
            if event in ("job_info", "job_finished") and not (self.workflow.dryrun or self.workflow.touch):
                for job in self.workflow.dag.needrun_jobs(exclude_finished=False):
                    self.update(job, record)
                write_json(RECORD, list(self.jobs.values()))
            elif event == "progress" and self.jobs:
                text = time_left()
                if text:
                    getLogger(record.name).info(text)

    def update(self, job: Any, record: Any) -> None:
        """Note that a job starts or has ended, by an event of any job."""
        if job not in self.jobs:
            self.jobs[job] = self.entry(job)
        entry = self.jobs[job]
        ended = job.jobid == getattr(record, "job_id", None) or job.dag.finished(job)
        if job.jobid == getattr(record, "jobid", None):
            entry.setdefault("started", time.time())  # a retry goes on
        elif ended and "left" not in entry:
            entry |= {"left": 0.0, "seconds": time.time() - entry["started"]}
            if entry["run"]:  # this start may have resumed it
                entry["seconds"] = read_json(job.output.training)["train_seconds_by_phase"][-1]

    def entry(self, job: Any) -> Facts:
        """What is known of a job at first; `share`: the part of the cores, GPUs or a cluster's jobs that it takes."""
        rule = next((name for name in TYPICAL if job.rule.name.endswith(name)), "")  # a module's has a prefix
        machine = self.workflow.scheduler.global_resources
        shared = ("_cores", "gpu" if self.workflow.local_exec else "_nodes")
        return {
            "typical": TYPICAL.get(rule, 1),
            "share": max(job.resources.get(name, 0) / machine[name] for name in shared if machine.get(name)),
            "run": RUN_LABEL.format(**job.wildcards_dict) if rule.startswith("train_") else "",
        }


def time_left(run: str = "", **own: float) -> str:
    """`about 0:06:10 left for all 30 jobs`, or nothing; a training `run` adds `seconds` that it takes, and `left`."""
    with suppress(Exception):  # no record, a damaged one, or infinity: no training is timed yet
        jobs = [job | (own if job["run"] == run else {}) for job in read_json(RECORD)]
        timed = [job for job in jobs if "seconds" in job]
        factors = {True: float("inf"), False: 1.0}  # of trainings, of the rest
        for job in sorted(timed, key=itemgetter("typical", "started")):
            factors[job["run"] != ""] = job["seconds"] / job["typical"]
        work = 0.0
        longest = 0.0
        for job in jobs:
            expected = job["typical"] * factors[job["run"] != ""]
            left = job.get("left", max(expected - time.time() + job.get("started", time.time()), 0.0))
            work += left * job["share"]
            longest = max(longest, left)
        seconds = max(work, longest)
        if seconds >= 1:
            return f"about {duration(seconds)} left for all {len(jobs)} jobs"
    return ""


def duration(seconds: float) -> str:
    """A time for people: `0:03:20`, `3 days, 4:00:00`."""
    return str(timedelta(seconds=round(seconds)))
