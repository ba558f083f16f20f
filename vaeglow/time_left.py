"""Estimates the time left for a workflow from its finished jobs. Light: it runs in Snakemake's main process."""

import logging
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from vaeglow.files import read_json, write_json

RECORD = ".snakemake/vaeglow_jobs.json"  # what is known of each job
# Seconds of the demo's jobs on one core; a job of another rule counts 1. At other presets, on other machines: times a
# factor, one for trainings and one for the rest, taken from the finished job with the longest time here (if several,
# from the last). One factor is enough for all trainings: at every preset the models train about equally long.
TRAINING = {"train_vae": 28, "train_glow_layer": 28, "train_baseline": 71, "train_joint": 60, "train_two_stage": 12}
REST = {"fid_reference": 13, "evaluate": 16, "sample": 2, "likelihood": 4, "evaluate_snapshots": 50, "time_epoch": 250}


class TimeLeft(logging.Handler):
    """Keeps `RECORD` by Snakemake's log events, and logs the time left when a job is done."""

    def __init__(self, workflow: Any) -> None:
        super().__init__()
        self.workflow, self.jobs = workflow, {}

    def emit(self, record: Any) -> None:
        """Take an event. Under --quiet there is none when a job is done: it is noticed when the next starts."""
        event, ended = getattr(record, "event", ""), getattr(record, "job_id", None)
        with suppress(Exception):  # without an estimate the jobs go on
            if event in ("job_info", "job_finished") and not (self.workflow.dryrun or self.workflow.touch):
                for job in self.workflow.dag.needrun_jobs(exclude_finished=False):
                    entry = self.jobs[job] = self.jobs.get(job) or self.entry(job)
                    if job.jobid == getattr(record, "jobid", None):
                        entry.setdefault("started", time.time())  # a retry goes on
                    elif "left" not in entry and (job.jobid == ended or job.dag.finished(job)):
                        entry |= {"left": 0.0, "seconds": time.time() - entry["started"]}
                        if entry["run"]:  # this start may have resumed it
                            entry["seconds"] = read_json(job.output.training)["train_seconds_by_phase"][-1]
                write_json(RECORD, list(self.jobs.values()))
            elif event == "progress" and self.jobs and (text := time_left()):
                logging.getLogger(record.name).info(text)

    def entry(self, job: Any) -> dict[str, Any]:
        """What is known of a job at first; `share`: the part of the cores, GPUs or a cluster's jobs that it takes."""
        rule, has, here = job.rule.name, self.workflow.scheduler.global_resources, self.workflow.local_exec
        like = next((name for name in TRAINING | REST if f"_{rule}".endswith(f"_{name}")), rule)  # a module's: a prefix
        group = "training" if like in TRAINING else "rest" if like in REST else rule
        alike = [f"{rule} on {job.wildcards_dict.get('dataset')}", rule, group]
        share = max(job.resources.get(k, 0) / has[k] for k in ("_cores", "gpu" if here else "_nodes") if has.get(k))
        run = "{model} on {dataset}, seed {seed}".format(**job.wildcards_dict) if like in TRAINING else ""
        return {"alike": alike, "typical": (TRAINING | REST).get(like, 1), "share": share, "run": run}


def time_left(run: str = "", **own: float) -> str:
    """`about 0:06:10 left for all 30 jobs`, or nothing; a training `run` adds `seconds` that it takes, and `left`."""
    with suppress(Exception):  # no record, a damaged one, or infinity: no training is timed yet
        work, longest, jobs = 0.0, 0.0, [job | (own if job["run"] == run else {}) for job in read_json(RECORD)]
        done = sorted((job for job in jobs if "seconds" in job), key=lambda job: (job["typical"], job["started"]))
        factors = {key: job["seconds"] / job["typical"] for job in done for key in job["alike"]}
        for job in jobs:
            factor = next((factors[key] for key in job["alike"] if key in factors), float("inf") if job["run"] else 1.0)
            left = job.get("left", max(job["typical"] * factor + job.get("started", time.time()) - time.time(), 0.0))
            work, longest = work + left * job["share"], max(longest, left)
        if (left := max(work, longest)) >= 1:
            return f"about {duration(left)} left for all {len(jobs)} jobs"
    return ""


def duration(seconds: float) -> str:
    """A time for people: `0:03:20`, `3 days, 4:00:00`."""
    return str(timedelta(seconds=round(seconds)))
