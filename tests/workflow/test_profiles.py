"""The profiles: what they say about rules agrees with the rules."""

import re

import pytest
import yaml
from run_tools import ROOT
from test_workflow import workflow

RULES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
TRAINING = re.findall(r"^(?:use )?rule (?:\w+ as )?(train_\w+)(?: with)?:", RULES, re.MULTILINE)


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))


def body(rule: str) -> str:
    """The text of a rule, and of the rules that it uses."""
    base, text = re.search(
        rf"^(?:use rule (\w+) as |rule ){rule}(?: with)?:\n(.*?)(?=^\S|\Z)", RULES, re.MULTILINE | re.DOTALL
    ).groups()
    return text + (body(base) if base else "")


def test_slurms_profile_keeps_what_the_default_one_says():
    default, slurm = profile("default"), profile("slurm")
    same = default.keys() - {"cores"}  # cores are the nodes' own
    assert same and {key: slurm[key] for key in same} == {key: default[key] for key in same}


def test_retries_and_time_limits_know_every_training_rule():
    slurm = profile("slurm")
    assert len(TRAINING) >= 5
    assert sorted(slurm["preemptible-rules"]) == sorted(slurm["set-resources"]) == sorted(TRAINING)
    assert slurm["preemptible-retries"] > slurm["retries"]
    assert "retries" not in RULES  # the Snakemake inside a cluster's job would multiply them
    for entry in slurm["groups"]:
        assert body(entry.partition("=")[0])


def test_training_takes_its_shells_place():
    """A shell in between would die of the signal that the trainer saves on, and the job with it."""
    assert re.search(r'shell:\n\s+"""\n\s+exec python -m vaeglow\.steps\.train ', body("train_vae"))


def test_what_computes_asks_for_a_gpu_and_the_rest_runs_beside_snakemake():
    for rule in re.findall(r"^(?:use rule \w+ as |rule )(\w+)", RULES, re.MULTILINE):
        asks = re.findall(r"gpu=(.+),\n", body(rule))
        assert (asks == []) == ("localrule: True" in body(rule)) and len(asks) < 2, rule
        assert ("--device " in body(rule)) == bool(asks), rule
        assert (asks == ["training_processes(gpus)"]) == (rule in TRAINING), rule


@pytest.mark.parametrize(("device", "each"), [("cuda", 1), ("cpu", 0)])
def test_jobs_ask_for_the_gpus_and_threads_of_all_their_processes(tmp_path, device, each):
    overlay = {"runtime": {"device": device}, "overrides": {"training": {"devices": 2}}}
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    options = ("--cores", "8", "--resources", "gpu=8", "--configfile", "overlay.yaml")
    output = workflow("-n", "results/table2.csv", *options, cwd=tmp_path)
    asked = {}
    for job in re.split(r"\n(?=(?:local)?rule \w+:)", output):
        rule, threads = re.match(r"(?:local)?rule (\w+):", job), re.search(r"^    threads: (\d+)", job, re.MULTILINE)
        if rule and (gpu := re.search(r"\bgpu=(\d+)", job)):
            asked[rule[1]] = int(gpu[1]), int(threads[1]) if threads else 1
    assert asked == {
        **dict.fromkeys(("train_vae", "train_glow_layer", "train_glow"), (2 * each, 2)),
        **dict.fromkeys(("sample", "likelihood", "evaluate", "fid_reference"), (each, 1)),
    }
