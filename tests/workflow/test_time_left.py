"""The time left for a whole workflow: Table 2 of the demo replayed; records that are missing or damaged."""

import logging
import re
from typing import ClassVar

import pytest

from vaeglow import time_left
from vaeglow.files import write_json

JOBS = """
inception_weights  7, fid_reference  13, prepare_data  1,
train_baseline a 71, likelihood a 4, sample a 2, evaluate a 16,
train_vae b 28, likelihood b 4, sample b 2, evaluate b 16, train_glow_layer c 33, likelihood c 4,
sample c 2, evaluate c 16, sample c 2, evaluate c 16
"""
TABLE2 = [(rule, model, int(seconds)) for rule, model, seconds in re.findall(r"(\w+) (\w*) (\d+)", JOBS)]


class Snakemake:
    """What is read of a job, its rule, its outputs, the DAG, the scheduler and the workflow."""

    dryrun = False
    touch = False
    local_exec = True
    resources: ClassVar = {"_cores": 1}
    global_resources: ClassVar = {"_cores": 1}
    training = "training.json"
    finished = staticmethod(lambda job: job.done)
    rule = output = scheduler = dag = property(lambda self: self)

    def __init__(self, jobid=0, name="", model="", jobs=()) -> None:
        self.jobid = jobid
        self.name = name
        self.needrun_jobs = lambda exclude_finished: jobs
        self.done = False
        self.wildcards_dict = {"model": model, "dataset": "photos32", "seed": 0}


@pytest.mark.parametrize(("slower", "quiet"), [(7, False), (7, True)])
def test_from_a_third_of_the_demo_on_the_estimate_is_near(slower, quiet, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    now = 1e9
    shown = []
    monkeypatch.setattr(time_left.time, "time", lambda: now)
    jobs = [Snakemake(number, rule, model) for number, (rule, model, _) in enumerate(TABLE2)]
    handler = time_left.TimeLeft(Snakemake(jobs=jobs))
    for job, (rule, model, seconds) in zip(jobs, TABLE2, strict=True):
        takes = slower * seconds
        handler.emit(logging.makeLogRecord({"event": "job_info", "jobid": job.jobid}))
        if rule.startswith("train_"):
            write_json(job.training, {"train_seconds_by_phase": [1.0, takes]})
            shown.append((now, time_left.time_left(f"{model} on photos32, seed 0", seconds=takes, left=takes)))
        now += takes
        for event in [] if quiet else ["job_finished", "progress"]:
            handler.emit(logging.makeLogRecord({"event": event, "job_id": job.jobid}))
        job.done = True
        shown += [(now, text) for text in caplog.messages]
        caplog.clear()
    assert len(shown) == (3 if quiet else 16)  # none before a training is timed, nor at the end
    for then, text in shown:
        if then - 1e9 < (now - 1e9) / 3:
            continue  # an early estimate may be far off
        hours, minutes, seconds = map(int, text.split()[1].split(":"))
        left = 3600 * hours + 60 * minutes + seconds
        rest = now - then
        assert abs(left - rest) <= 0.3 * rest + 1


@pytest.mark.parametrize("record", ["", "[1]", "{}", '[{"run": "a"}]'])
def test_without_a_good_record_there_is_no_estimate(record, tmp_path, monkeypatch):
    monkeypatch.setattr(time_left, "RECORD", tmp_path / "record")
    assert time_left.time_left("a", seconds=9.0, left=5.0) == ""
    time_left.RECORD.write_text(record)
    assert time_left.time_left("a", seconds=9.0, left=5.0) == ""
