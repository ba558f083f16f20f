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
TRAINING = {"train_vae": 28, "train_glow_layer": 28, "train_baseline": 71, "train_joint": 60, "train_two_stage": 12}
REST = {"fid_reference": 13, "evaluate": 16, "sample": 2, "likelihood": 4, "evaluate_snapshots": 50, "time_epoch": 100}


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
        rule = job.rule.name
        like = next((name for name in TRAINING | REST if f"_{rule}".endswith(f"_{name}")), rule)  # a module's: a prefix
        group = "training" if like in TRAINING else "rest" if like in REST else rule
        machine = self.workflow.scheduler.global_resources
        shared = ("_cores", "gpu" if self.workflow.local_exec else "_nodes")
        return {
            "alike": [f"{rule} on {job.wildcards_dict.get('dataset')}", rule, group],
            "typical": (TRAINING | REST).get(like, 1),
            "share": max(job.resources.get(name, 0) / machine[name] for name in shared if machine.get(name)),
            "run": RUN_LABEL.format(**job.wildcards_dict) if like in TRAINING else "",
        }


def time_left(run: str = "", **own: float) -> str:
    """`about 0:06:10 left for all 30 jobs`, or nothing; a training `run` adds `seconds` that it takes, and `left`."""
    with suppress(Exception):  # no record, a damaged one, or infinity: no training is timed yet
        jobs = [job | (own if job["run"] == run else {}) for job in read_json(RECORD)]
        timed = [job for job in jobs if "seconds" in job]
        factors = {}
        for job in sorted(timed, key=itemgetter("typical", "started")):
            factors |= dict.fromkeys(job["alike"], job["seconds"] / job["typical"])
        lefts = [job["left"] if "left" in job else expected_left(job, factors) for job in jobs]
        work = sum(left * job["share"] for left, job in zip(lefts, jobs, strict=True))
        seconds = max(work, *lefts)
        if seconds >= 1:
            return f"about {duration(seconds)} left for all {len(jobs)} jobs"
    return ""


def expected_left(job: Facts, factors: dict[str, float]) -> float:
    """Seconds that a job still takes; infinity for a training where none is timed."""
    unknown = float("inf") if job["run"] else 1.0
    factor = next((factors[name] for name in job["alike"] if name in factors), unknown)
    running = time.time() - job["started"] if "started" in job else 0.0
    return max(job["typical"] * factor - running, 0.0)


def duration(seconds: float) -> str:
    """A time for people: `0:03:20`, `3 days, 4:00:00`."""
    return str(timedelta(seconds=round(seconds)))
