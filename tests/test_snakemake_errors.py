"""One line before Snakemake's traceback; why a run ended, where a workflow would be slow to end so."""

import logging
import os
import sys

import pytest
from waiting import ROOT, call

from vaeglow.snakemake_errors import LOCKED, STOPPED, LastLine

GIVEN_UP = "WorkflowError:\nAt least one job did not complete successfully."


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--configfile there.yaml nowhere.yaml", "--configfile: there is no file nowhere.yaml"),
        ("--configfile thre.yaml", "--configfile: there is no file thre.yaml (did you mean 'there.yaml'?)"),
        (
            "--configfile config/exmple.yaml",
            "there is no file config/exmple.yaml (did you mean 'config/example.yaml'?)",
        ),
        (
            "-n --config preset=cpu results/table1.csv",
            "results/table1.csv after --config is not KEY=VALUE: targets come",
        ),
        ("--configfiles=there.yaml thre.yaml", "--configfiles: there is no file thre.yaml"),
        ("--configfile=thre.yaml -n", "--configfile: there is no file thre.yaml"),
        ("-C preset=cpu results/table1.csv", "results/table1.csv after -C is not KEY=VALUE"),
        ("--configfile=there.yaml --config=preset=cpu", ""),
        ("-n --config preset=cpu seeds=[0] --configfile there.yaml", ""),
        ("", ""),
    ],
)
def test_a_slip_in_makes_flags_is_one_line(words, says, tmp_path):
    (tmp_path / "config").mkdir()
    for name in ("there.yaml", "config/example.yaml"):
        (tmp_path / name).touch()
    command = [sys.executable, "-m", "vaeglow.snakemake_errors", *words.split()]
    done = call(command, tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == bool(says) and says in done.stderr
    assert [line.startswith("error: ") for line in done.stderr.splitlines()] == [True] * bool(says)


def last_lines(*events: dict) -> LastLine:
    """A handler that has taken such records."""
    handler = LastLine(lambda: ["all"])
    for event in events:
        handler.emit(logging.makeLogRecord(event))
    return handler


def failed(tmp_path, job: int, text: str) -> dict:
    """Snakemake's record of a failed job, whose log says this."""
    (tmp_path / f"{job}.log").write_text(f"epoch 1\n{text}\n")
    return {
        "event": "job_error",
        "msg": "Error",
        "jobid": job,
        "rule_name": "sample",
        "log": [str(tmp_path / f"{job}.log")],
    }


def test_each_failed_job_has_its_say_once_and_only_if_snakemake_gives_up(tmp_path, capsys):
    jobs = [failed(tmp_path, 1, "error: a"), failed(tmp_path, 2, "error: b"), failed(tmp_path, 3, "error: a")]
    retried = failed(tmp_path, 1, "error: a")
    last_lines(*jobs).close()
    assert capsys.readouterr().err == ""
    handler = last_lines(*jobs, retried, {"msg": GIVEN_UP})
    handler.close()
    handler.close()  # as the logging module does, at exit
    assert capsys.readouterr().err == "error: a\nerror: b\n"
    last_lines(*jobs, {"event": "job_finished", "job_id": 2}, {"msg": GIVEN_UP}).close()
    assert capsys.readouterr().err == "error: a\n"
    for said, line in {
        "Segmentation fault": f"error: sample failed: see {tmp_path}/4.log",
        "stopped: SIGTERM: state saved, run again to resume": STOPPED,
        "error: damaged\nerror: the rows are damaged": "error: the rows are damaged",
    }.items():
        last_lines(failed(tmp_path, 4, said), {"msg": GIVEN_UP}).close()
        assert capsys.readouterr().err == f"{line}\n"
    gone = failed(tmp_path, 4, "") | {"log": ["gone.log"]}
    last_lines(gone, {"msg": GIVEN_UP}).close()
    assert capsys.readouterr().err == "error: sample failed: see gone.log\n"


def test_a_locked_folder_is_one_line(capsys):
    last_lines({"msg": "LockException:\nError: Directory cannot be locked. Please make sure"}).close()
    assert capsys.readouterr().err == f"{LOCKED}\n"


@pytest.mark.parametrize("said", ["Terminating processes on user request, this", "Will exit after finishing currently"])
def test_a_run_that_is_stopped_says_so_whatever_its_jobs_died_of(said, tmp_path, capsys):
    last_lines({"msg": said}, failed(tmp_path, 1, "KeyboardInterrupt"), {"msg": GIVEN_UP}).close()
    assert capsys.readouterr().err == f"{STOPPED}\n"
