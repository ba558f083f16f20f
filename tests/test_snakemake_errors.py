"""One line before Snakemake's traceback; why a run ended, where a workflow would be slow to end so."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from refusals import user_error
from waiting import python

from vaeglow import snakemake_errors
from vaeglow.snakemake_errors import LOCKED, NOT_BUILT, STOPPED, LastLine, check_flags

GIVEN_UP = {"msg": "WorkflowError:\nAt least one job did not complete successfully."}


SLIPS = """
--configfile there.yaml nowhere.yaml
=> --configfile: there is no file nowhere.yaml
--configfile thre.yaml
=> --configfile: there is no file thre.yaml (did you mean 'there.yaml'?)
-n --config preset=cpu results/table1.csv
=> results/table1.csv after --config is not KEY=VALUE: targets come
--configfiles=there.yaml thre.yaml
=> --configfiles: there is no file thre.yaml
-n --configfile there.yaml torn.yaml
=> not YAML: while parsing a flow node expected the node content, but found '<stream end>' in "torn.yaml", line 3
--executor slurm
=> --executor slurm needs snakemake_executor_plugin_slurm: /
--workflow-profile=profiles/slurm
=> --workflow-profile profiles/slurm needs snakemake_executor_plugin_slurm
"""


@pytest.mark.parametrize(("words", "says"), re.findall("(.+)\n=> (.+)", SLIPS))
def test_a_slip_in_makes_flags_is_one_line(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(snakemake_errors, "find_spec", lambda name: None)  # no plugin
    (tmp_path / "there.yaml").touch()
    (tmp_path / "torn.yaml").write_text("models:\n  a: [1,\n")
    with user_error(re.escape(says)):
        check_flags(words.split())
    check_flags(["-n", "--config", "preset=cpu", "seeds=[0]", "--configfile", "there.yaml"])


def test_make_asks_a_module_that_ends_with_the_line():
    done = python("-m", "vaeglow.snakemake_errors", "-C", "x")
    assert (done.returncode, done.stderr) == (2, "error: x after -C is not KEY=VALUE: targets come before -C\n")


def said_by(capsys: pytest.CaptureFixture[str], *events: dict) -> str:
    """What a handler prints at the end that has taken such records; once, though logging closes it again at exit."""
    handler = LastLine(lambda: ["all"])
    for event in events:
        handler.emit(logging.makeLogRecord(event))
    handler.close()
    handler.close()
    return capsys.readouterr().err


def failed(tmp_path: Path, job: int, text: str) -> dict[str, Any]:
    """Snakemake's record of a failed job, whose log says this."""
    log = tmp_path / f"{job}.log"
    log.write_text(f"epoch 1\n{text}\n")
    return {"event": "job_error", "msg": "Error", "jobid": job, "rule_name": "sample", "log": [str(log)]}


def test_each_failed_job_has_its_say_once_and_only_if_snakemake_gives_up(tmp_path, capsys):
    jobs = [failed(tmp_path, 1, "error: a"), failed(tmp_path, 2, "error: b"), failed(tmp_path, 3, "error: a")]
    assert said_by(capsys, *jobs) == ""
    assert said_by(capsys, *jobs, jobs[0], GIVEN_UP) == "error: a\nerror: b\n"  # one was tried again
    assert said_by(capsys, *jobs, {"event": "job_finished", "job_id": 2}, GIVEN_UP) == "error: a\n"
    for text, line in {
        "Segmentation fault": f"error: sample failed: see {tmp_path}/4.log",
        "stopped: SIGTERM: state saved, run again to resume": STOPPED,
        "error: damaged\nerror: the rows are damaged": "error: the rows are damaged",
    }.items():
        assert said_by(capsys, failed(tmp_path, 4, text), GIVEN_UP) == f"{line}\n"
    gone = jobs[0] | {"log": ["gone.log"]}  # as where there is no Slurm to submit it to
    assert said_by(capsys, gone, GIVEN_UP).startswith("error: sample did not start: Snakemake says why above")


def test_a_locked_folder_and_a_report_of_what_is_not_built_are_one_line(capsys):
    event = {"msg": "LockException:\nError: Directory cannot be locked. Please make sure"}
    assert said_by(capsys, event) == f"{LOCKED}\n"
    event = {"msg": "WorkflowError:\nFile results/a.csv marked for report but does not exist."}
    assert said_by(capsys, event) == f"{NOT_BUILT}\n"


@pytest.mark.parametrize("said", ["Terminating processes on user request, this", "Will exit after finishing currently"])
def test_a_run_that_is_stopped_says_so_whatever_its_jobs_died_of(said, tmp_path, capsys):
    assert said_by(capsys, {"msg": said}, failed(tmp_path, 1, "KeyboardInterrupt"), GIVEN_UP) == f"{STOPPED}\n"


def test_after_a_stop_the_terminal_shows_no_error_of_its_jobs():
    error = logging.makeLogRecord({"msg": "RuleException", "levelno": logging.ERROR})
    note = logging.makeLogRecord({"msg": "1 of 2 steps done", "levelno": logging.INFO})
    handler = LastLine(lambda: ["all"])
    assert handler.shown(error) and handler.shown(note)
    handler.emit(logging.makeLogRecord({"msg": "Terminating processes on user request, this"}))
    assert not handler.shown(error) and handler.shown(note)
