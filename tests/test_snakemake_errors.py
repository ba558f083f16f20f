"""One line before Snakemake's traceback; why a run ended, where a workflow would be slow to end so."""

import logging

import pytest

from vaeglow import snakemake_errors
from vaeglow.snakemake_errors import LOCKED, NOT_BUILT, STOPPED, LastLine, check_flags

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
        ("-n --configfile there.yaml torn.yaml", "torn.yaml, line 3 is not YAML: expected the node"),
        ("--executor slurm", "--executor slurm needs snakemake_executor_plugin_slurm: .venv/bin/pip install"),
        (
            "--workflow-profile=profiles/slurm",
            "--workflow-profile profiles/slurm needs snakemake_executor_plugin_slurm",
        ),
        ("--configfile=there.yaml --config=preset=cpu", ""),
        ("-n --config preset=cpu seeds=[0] --configfile there.yaml", ""),
        ("", ""),
    ],
)
def test_a_slip_in_makes_flags_is_one_line(words, says, tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    for name in ("there.yaml", "config/example.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "torn.yaml").write_text("models:\n  a: [1,\n")
    monkeypatch.setattr(snakemake_errors, "find_spec", lambda name: None)  # no plugin
    monkeypatch.chdir(tmp_path)
    said = ""
    try:
        check_flags(words.split())
    except SystemExit as error:
        said = str(error.code)
    assert says in said and said.startswith("error: " * bool(says)) and "\n" not in said


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
    last_lines(gone, {"msg": GIVEN_UP}).close()  # as where there is no Slurm to submit it to
    assert capsys.readouterr().err.startswith("error: sample did not start: Snakemake says why above")


def test_a_locked_folder_and_a_report_of_what_is_not_built_are_one_line(capsys):
    last_lines({"msg": "LockException:\nError: Directory cannot be locked. Please make sure"}).close()
    assert capsys.readouterr().err == f"{LOCKED}\n"
    last_lines({"msg": "WorkflowError:\nFile results/a.csv marked for report but does not exist."}).close()
    assert capsys.readouterr().err == f"{NOT_BUILT}\n"


@pytest.mark.parametrize("said", ["Terminating processes on user request, this", "Will exit after finishing currently"])
def test_a_run_that_is_stopped_says_so_whatever_its_jobs_died_of(said, tmp_path, capsys):
    last_lines({"msg": said}, failed(tmp_path, 1, "KeyboardInterrupt"), {"msg": GIVEN_UP}).close()
    assert capsys.readouterr().err == f"{STOPPED}\n"


def test_after_a_stop_the_terminal_shows_no_error_of_its_jobs():
    error = logging.makeLogRecord({"msg": "RuleException", "levelno": logging.ERROR})
    note = logging.makeLogRecord({"msg": "1 of 2 steps done", "levelno": logging.INFO})
    handler = last_lines()
    assert handler.shown(error) and handler.shown(note)
    handler = last_lines({"msg": "Terminating processes on user request, this"})
    assert not handler.shown(error) and handler.shown(note)
