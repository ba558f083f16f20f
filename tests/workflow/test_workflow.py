"""The workflow: dry runs against the real steps' flags, the profiles, and stub steps run in a copy of the project."""

import importlib
import json
import os
import re
import shlex
import shutil
import sys
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from refusals import user_error
from run_tools import checked, shipped_config
from waiting import ROOT, Row, call, text_of, warm

from vaeglow.config import merge, plan, targets
from vaeglow.config.registry import kinds_of
from vaeglow.time_left import RECORD

RULES = "".join(text_of(path) for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
TRAINED = {"glow", "vae", "vaeglow", "vaeglow_as_written"}  # for Table 2
TRAINING = re.findall(r"^(?:use )?rule (?:\w+ as )?(train_\w+)(?: with)?:", RULES, re.MULTILINE)

Jobs: TypeAlias = list[tuple[str, Row]]  # rule and wildcards of each
JOB = re.compile(r"^(?:local)?rule (\w+):\n(?:    (?!wildcards: ).*\n)*(?:    wildcards: (.*))?", re.MULTILINE)


def snakemake(*arguments: str, cwd: Path, ok: bool = True, env: Row | None = None) -> str:
    """Its output, with its lines on each job. `env`: that of `waiting.warm` where None."""
    command = [sys.executable, "-m", "snakemake", "--quiet", "host", "--nocolor", *arguments]
    done = call(command, cwd, env=warm() if env is None else env)
    output = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, output
    return output


def workflow(*arguments: str, **options: Any) -> str:
    """The repository's own workflow in another folder; `options` of `snakemake`."""
    return snakemake("-s", str(ROOT / "Snakefile"), *arguments, **options)


def jobs(output: str) -> Jobs:
    """(rule, wildcards) of every job in Snakemake's output."""
    return [(rule, dict(re.findall(r"(\w+)=([^,]*)", wildcards))) for rule, wildcards in JOB.findall(output)]


def dry_run(*arguments: str, cwd: Path) -> Jobs:
    return jobs(snakemake("-n", *arguments, cwd=cwd))


def of(found: Jobs, wildcard: str, start: str = "") -> set[str]:
    """The values of a wildcard in the jobs whose rules start so."""
    return {wildcards[wildcard] for rule, wildcards in found if rule.startswith(start) and wildcard in wildcards}


# What all that is planned is planned with: two processes a training, a GPU each; and what no entry of the demo has.
PLAN = """
runtime: {device: cuda}
overrides: {training: {devices: 2}}
registration: registered.yaml
tables:
  distances:
    kind: distance_source
    title: "Where the distance comes from"
    caption: "Nothing"
    rows: [{model: vaeglow, temperature: 0.5}]
"""


REGISTERED = """
protocols: {test-64-2048: {apart: 1.0}}
claims: {quality_main: {registered: primary, seeds: [0]}}
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> str:
    """A dry run from another folder: all of the demo, `make tune`, and the Table 2 of every other preset."""
    folder = tmp_path_factory.mktemp("planned")
    (folder / "registered.yaml").write_text(REGISTERED)
    (folder / "overlay.yaml").write_text(PLAN + REGISTERED)
    others = [f"results/{preset}/tables/table2.csv" for preset in ("cpu", "short", "paper")]
    options = ("--cores", "8", "--resources", "gpu=8", "--configfile", "overlay.yaml")
    return workflow("-n", "-p", "all", "tune", *others, *options, cwd=folder)


@pytest.mark.parametrize("preset", ["cpu", "short", "paper"])
def test_table2_is_planned_for_every_preset_from_any_folder(preset, planned):
    rules = [(rule, wildcards.get("model")) for rule, wildcards in jobs(planned) if wildcards.get("preset") == preset]
    trained = [model for rule, model in rules if rule.startswith("train_")]
    assert sorted(trained) == sorted(TRAINED)
    assert rules.count(("fid_reference", None)) == 1
    assert ("publish", {"table": "table2"}) in jobs(planned)


def test_every_rule_speaks_the_flags_of_its_step(planned):
    commands = re.findall(r"python -m vaeglow\.steps\.(\w+) (.*?)>\s*\w+/(\w+)\S+ 2>&1", planned.replace("\n", " "))
    # Rule name = module name; all that train, and all that probe, run one module, and some are one shell command.
    of_shell = ("all", "write_config", "write_spec", "publish", "publish_figure", "publish_claims")
    shared = {**dict.fromkeys(kinds_of("probes"), "probe"), **dict.fromkeys(TRAINING, "train")}
    assert sorted(rule for *_, rule in commands) == sorted(rule for rule, _ in jobs(planned) if rule not in of_shell)
    steps = {path.stem for path in ROOT.glob("vaeglow/steps/[a-z]*.py")} - {"cli"}
    assert {name for name, *_ in commands} == steps  # no step that no rule calls
    for name, flags, rule in commands:
        importlib.import_module(f"vaeglow.steps.{name}").main.parser.parse_args(shlex.split(flags))
        assert name == shared.get(rule, rule)


def test_what_computes_asks_for_all_its_processes_and_the_rest_runs_beside_snakemake(planned):
    for rule, text in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", RULES, re.MULTILINE | re.DOTALL):
        assert ("localrule: True" in text) == ("gpu=" not in text), rule
    asked = {}
    for job in re.split(r"\n(?=(?:local)?rule \w+:)", planned)[1:]:
        rule = re.match(r"(?:local)?rule (\w+):", job)[1]
        gpus, threads = (re.search(rf"\b{name}(\d+)", job) for name in ("gpu=", "threads: "))
        assert bool(gpus) == ("--device cuda" in job), rule
        if rule in TRAINING:  # a shell in between would die of the signal that the trainer saves on
            assert re.search(r"\n\s+exec python -m vaeglow\.steps\.train ", job)
        if gpus and ("preset=" not in job or "preset=demo" in job):
            asked[rule] = int(gpus[1]), int(threads[1]) if threads else 1
    assert {rule for rule, (gpus, _) in asked.items() if gpus == 2} == {*TRAINING}
    assert {asked[rule] for rule in TRAINING} == {(2, 2)}
    assert {asked[rule] for rule in ("sample", "evaluate")} == {(1, 1)}
    assert {asked[rule] for rule in ("time_epoch", "tune")} == {(1, 8)}
    assert asked.keys() >= {"likelihood", "fid_reference"}


def test_a_folders_own_config_comes_first_and_a_gpu_of_either_maker_is_seen(tmp_path, monkeypatch):
    """`runtime.device: auto`; an empty program stands for that of a driver."""
    (tmp_path / "config").mkdir()
    own = text_of("config/config.yaml").replace("preset: demo", "preset: short")
    (tmp_path / "config/config.yaml").write_text(own.replace("main: cifar10", "main: photos64"))
    environment = warm()  # before there is another PATH
    for name in ("nvidia-smi", "amd-smi", "rocm-smi"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("PATH", str(folder))
        assert not targets.sees_gpu()
        (folder / name).touch(0o755)
        assert targets.sees_gpu()
    environment = {**environment, "PATH": f"{folder}{os.pathsep}{environment['PATH']}"}
    output = workflow("-n", "results/demo/tables/table4.csv", "results/table4.csv", cwd=tmp_path, env=environment)
    planned = jobs(output)
    assert of(planned, "preset", "table") == {"demo", "short"}
    assert of(planned, "dataset", "prepare_data") >= {"photos32", "photos64"}
    assert "gpu=1" in output


def test_a_mistyped_target_s_last_line_has_the_nearest_name(tmp_path):
    output = workflow("-n", "tun", cwd=tmp_path, ok=False)
    assert "MissingRuleException" in output
    assert output.splitlines()[-1] == "error: no rule makes 'tun' (did you mean 'tune'?)"
    (tmp_path / "few.yaml").write_text("only: [table1]")
    output = workflow("-n", "results/table2.csv", "--configfile", "few.yaml", cwd=tmp_path, ok=False)
    nearest = "(did you mean 'results/table1.csv'?)"
    assert output.splitlines()[-1] == f"error: no rule makes 'results/table2.csv' {nearest}"


def test_files_of_results_and_of_runs_can_be_near():
    wanted = {"results/table2.csv", "results/demo/photos32/vae/seed0/training.json"}
    assert wanted <= {*targets.askable(shipped_config(), checked()["demo"])}


def test_own_images_need_only_the_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = text_of("config/examples/own_dataset.yaml")
    config = merge(shipped_config(), yaml.safe_load(example))
    view = checked(example)["demo"]
    table2 = plan.needs(view, "tables", "table2")
    assert {need["dataset"] for need in table2} == {"mine"}
    assert {plan.protocol(view, need["protocol"])["images"] for need in table2} == {50}
    with user_error("^dataset mine: my_images is not there: make it, or correct the path$"):
        targets.source_settings(config, "mine")
    Path("my_images").mkdir()
    assert targets.source_settings(config, "mine")["root"] == "my_images"


def test_a_slip_ends_snakemake_with_one_line(tmp_path):
    """When a run is planned; when the config is read: test_module.py."""
    (tmp_path / "slip.yaml").write_text("datasets: {photos32: {size: 24}}")
    output = workflow("-n", "results/table2.csv", "--configfile", "slip.yaml", cwd=tmp_path, ok=False)
    (line,) = re.findall("^error: .*", output, re.MULTILINE)
    assert "model vae needs a side that is a power of two, 4 or more, for its" in line and "Traceback" not in output


TARGETS = ("results/table2.csv", "results/samples.png")
STUB = '''"""Stands for a step: writes its outputs, with its own command line in them."""
import sys
from pathlib import Path

name, flags = Path(__file__).stem, sys.argv[1:]
outputs = {"--output"} | ({"--model", "--snapshots", "--history", "--training"} if name == "train" else set())
flag = ""
for word in flags:
    if word.startswith("--"):
        flag = word
        continue
    if flag == "--output-dir":
        paths = [Path(word, file) for file in ("train.npy", "val.npy", "test.npy", "dataset.json")]
    else:
        paths = [Path(word)] if flag in outputs else []
    if flag == "--output" and (name in ("likelihood", "evaluate") or "layer_action" in flags):
        paths.append(Path(word).with_suffix(".npz"))
    if flag == "--output" and name == "sample":
        paths.append(Path(word).parents[1] / "shown" / Path(word).name)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join([name, *flags]))
'''


LIMITED = """
onsuccess:
    print("limited:", bool(workflow.scheduler.job_rate_limiter))
"""
# Each kind of target; all there is are three times as many jobs.
ONLY = "[table1, table2, table4, squeeze, samples, figure5, squeeze_likelihood]"


def copy_project(folder: Path, *names: str) -> None:
    """What the workflow is made of, and these folders."""
    for name in names:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "resources").mkdir()
    for name in ("Snakefile", "resources/published.csv", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A checkout whose heavy steps are stubs, with Table 2 and the sample sheet built at preset demo."""
    checkout = tmp_path_factory.mktemp("a checkout") / "it's here"
    copy_project(checkout, "workflow", "config", "profiles", "vaeglow")
    with open(checkout / "config/config.yaml", "a") as config:
        config.write(f"only: {ONLY}\n")
    with open(checkout / "Snakefile", "a") as snakefile:
        snakefile.write(LIMITED)
    for step in (checkout / "vaeglow/steps").glob("*.py"):
        if step.stem not in ("__init__", "cli"):
            step.write_text(STUB)
    (checkout / "sitecustomize.py").touch()  # before that of `warm`: stubs need no libraries
    snakemake("--cores", "2", *TARGETS, cwd=checkout)
    return checkout


@pytest.fixture
def checkout(built, tmp_path) -> Path:
    return shutil.copytree(built, tmp_path / "a copy")


def overlay(checkout: Path, text: str) -> list[str]:
    (checkout / "overlay.yaml").write_text(text)
    return [*TARGETS, "--configfile", "overlay.yaml"]


def test_what_is_built_stays_until_its_data_are_others(checkout):
    """Stubs write the same bytes: the arrays get new times, and dataset.json is compared by content."""
    info = checkout / "resources/data/photos32/dataset.json"
    before = info.stat().st_mtime_ns
    again = ("resources/data/photos32/dataset.json", "--forcerun", "prepare_data", "--max-jobs-per-timespan", "50/1m")
    assert "limited: True" in snakemake("--cores", "1", *again, cwd=checkout)
    assert info.stat().st_mtime_ns > before
    (checkout / "vaeglow/reporting/style.py").touch()
    how_to_run = "runtime: {device: cpu, save_minutes: 1.5, memory: checkpoint, tensorboard: true}"
    assert "Nothing to be done" in snakemake("--cores", "1", *overlay(checkout, how_to_run), cwd=checkout)
    info.write_text("other")
    assert of(dry_run("results/table2.csv", cwd=checkout), "model", "train_vae") == {"vae"}


def test_presets_keep_their_results_and_plain_snakemake_builds_everything(checkout):
    before = published(checkout, "demo")
    output = snakemake("--cores", "2", *TARGETS, "--config", "preset=short", cwd=checkout)
    assert of(jobs(output), "preset") == {"short"}
    assert "limited: False" in output  # Snakemake's own limit is lifted
    assert not {*published(checkout, "short")} & {*before}
    for target in TARGETS:
        (checkout / target).unlink()
    back = jobs(snakemake(cwd=checkout))  # the default profile
    assert published(checkout, "demo") == before
    trained = {(wildcards["dataset"], wildcards["model"]) for rule, wildcards in back if rule.startswith("train_")}
    assert not trained & {("photos32", model) for model in TRAINED}
    made = ("results/table4.tex", "results/figure5.pdf", "results/claims.csv")
    assert all((checkout / target).is_file() for target in made)


def published(checkout: Path, preset: str) -> list[str]:
    """The targets' content, which is that of a preset."""
    found = [(checkout / target).read_text() for target in TARGETS]
    made = (checkout / "results" / preset / name for name in ("tables/table2.csv", "figures/samples.png"))
    assert found == [path.read_text() for path in made]
    return found


def test_a_report_shows_what_there_is(checkout, tmp_path, monkeypatch):
    snakemake("--report", "report.html", "built", cwd=checkout)
    text = (checkout / "report.html").read_text(encoding="utf-8")
    assert text_of("profiles/style.css") in text
    names = {"table2.csv", "table2.html", "samples.png"}
    shown = re.findall(r'"name": "([^"]+)"', text)
    assert {"table1.csv", "figure5.png", *names}.intersection(shown) == names
    categories = json.loads(re.search("var categories = (.*?);\n", text)[1])
    assert "results/samples.png" in chain(*categories["Figures"].values())
    monkeypatch.chdir(tmp_path)
    with user_error("^nothing is built: run `make table2`$"):
        targets.built(shipped_config(), checked()["demo"])


def test_the_last_line_of_a_failed_run_is_its_step_s_own(checkout):
    (checkout / "vaeglow/steps/table.py").write_text("import sys\nsys.exit('error: the rows are damaged')")
    for path in ("results/demo/tables/table2.csv", "results/table2.csv"):
        (checkout / path).unlink()
    last = snakemake("--cores", "1", "results/table2.csv", cwd=checkout, ok=False).splitlines()[-2:]
    assert last == ["At least one job did not complete successfully.", "error: the rows are damaged"]


def test_a_change_reruns_what_stands_on_it(checkout):
    (checkout / RECORD).unlink()  # of the run; a dry run leaves none
    found = dry_run(*overlay(checkout, "overrides: {models: {vae: {training: {epochs: 1}}}}"), cwd=checkout)
    assert of(found, "model") == TRAINED - {"glow"}
    run = {"write_config", "train_vae", "train_glow_layer", "likelihood", "sample", "evaluate"}
    assert {rule for rule, _ in found} == run | {"table", "publish", "figure", "publish_figure"}
    style = checkout / "vaeglow/reporting/style.py"
    style.write_text(style.read_text().replace("#1a1a1a", "#0a0a0a"))
    assert [rule for rule, _ in dry_run(*TARGETS, cwd=checkout)] == ["figure", "publish_figure"]
    assert not (checkout / RECORD).exists()


def profile(name: str) -> dict:
    return yaml.safe_load(text_of(f"profiles/{name}/config.yaml"))


def test_slurms_profile_keeps_what_the_default_one_says():
    default = profile("default")
    del default["cores"]  # the nodes' own
    assert default and default.items() <= profile("slurm").items()


def test_retries_time_limits_and_groups_know_the_rules(planned):
    slurm = profile("slurm")
    assert len(TRAINING) >= 5
    assert sorted(slurm["preemptible-rules"]) == sorted(slurm["set-resources"]) == sorted(TRAINING)
    assert slurm["preemptible-retries"] > slurm["retries"]
    assert "retries" not in RULES  # the Snakemake inside a cluster's job would multiply them
    assert {entry.partition("=")[0] for entry in slurm["groups"]} <= {rule for rule, _ in jobs(planned)}
