"""The workflow: dry runs against the real steps' flags, the profiles, and stub steps run in a copy of the project."""

import importlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_tools import checked, shipped_config
from waiting import ROOT, call, warm

from vaeglow.config import merge, nearest, plan, targets
from vaeglow.config.registry import kinds_of
from vaeglow.errors import UserError
from vaeglow.time_left import RECORD

RULES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
TRAINING = re.findall(r"^(?:use )?rule (?:\w+ as )?(train_\w+)(?: with)?:", RULES, re.MULTILINE)
TABLE2_MODELS = {"glow", "vae", "vaeglow", "vaeglow_as_written"}


def snakemake(*arguments: str, cwd: Path, ok: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Its output, with its lines on each job. `env`: that of `waiting.warm` where None."""
    command = [sys.executable, "-m", "snakemake", "--quiet", "host", "--nocolor", *arguments]
    done = call(command, cwd, env=warm() if env is None else env)
    output = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, output
    return output


def workflow(*arguments: str, **options: Any) -> str:
    """The repository's own workflow in another folder; `options` of `snakemake`."""
    return snakemake("-s", str(ROOT / "Snakefile"), *arguments, **options)


def jobs(output: str) -> list[tuple[str, dict[str, str]]]:
    """(rule, wildcards) of every job in Snakemake's output."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in output.splitlines():
        match = re.fullmatch(r"(?:local)?rule (\w+):", line)
        if match:
            found.append((match[1], {}))
        elif line.startswith("    wildcards: "):
            found[-1][1].update(pair.split("=", 1) for pair in line.removeprefix("    wildcards: ").split(", "))
    return found


def dry_run(*arguments: str, cwd: Path) -> list[tuple[str, dict[str, str]]]:
    return jobs(snakemake("-n", *arguments, cwd=cwd))


# What all that is planned is planned with: two processes a training, a GPU each; and what no entry of the demo has.
PLAN = """
runtime: {device: cuda}
overrides: {training: {devices: 2}}
registration: registered.yaml
protocols: {test-64-2048: {apart: 1.0}}
claims: {quality_main: {registered: primary}}
tables:
  distances:
    kind: distance_source
    title: "Where the distance comes from"
    caption: "Nothing"
    rows: [{model: vaeglow, temperature: 0.5}]
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> str:
    """A dry run from another folder: all of the demo, `make tune`, and the Table 2 of every other preset."""
    folder = tmp_path_factory.mktemp("planned")
    (folder / "overlay.yaml").write_text(PLAN)
    (folder / "registered.yaml").touch()
    others = [f"results/{preset}/tables/table2.csv" for preset in ("cpu", "short", "paper")]
    options = ("--cores", "8", "--resources", "gpu=8", "--configfile", "overlay.yaml")
    return workflow("-n", "-p", "all", "tune", *others, *options, cwd=folder)


@pytest.mark.parametrize("preset", ["cpu", "short", "paper"])
def test_table2_is_planned_for_every_preset_from_any_folder(preset, planned):
    found = [(rule, wildcards) for rule, wildcards in jobs(planned) if wildcards.get("preset") == preset]
    trained = [wildcards["model"] for rule, wildcards in found if rule.startswith("train_")]
    assert sorted(trained) == sorted(TABLE2_MODELS)
    assert [rule for rule, _ in found].count("fid_reference") == 1
    assert ("publish", {"table": "table2"}) in jobs(planned)


def test_another_folder_may_have_a_config_of_its_own(tmp_path):
    (tmp_path / "config").mkdir()
    own = (ROOT / "config/config.yaml").read_text(encoding="utf-8").replace("preset: demo", "preset: short")
    (tmp_path / "config/config.yaml").write_text(own.replace("main: cifar10", "main: photos64"))
    found = jobs(workflow("-n", "results/demo/tables/table4.csv", "results/table4.csv", cwd=tmp_path))
    assert {wildcards["preset"] for rule, wildcards in found if rule == "table"} == {"demo", "short"}
    assert {wildcards["dataset"] for rule, wildcards in found if rule == "prepare_data"} >= {"photos32", "photos64"}


def test_every_rule_speaks_the_flags_of_its_step(planned):
    commands = re.findall(r"python -m vaeglow\.steps\.(\w+) (.*?)>\s*(\S+) 2>&1", planned.replace("\n", " "))
    # Rule name = module name; all that train, and all that probe, run one module, and some are one shell command.
    of_shell = ("all", "write_config", "write_spec", "publish", "publish_figure", "publish_claims")
    shared = {**dict.fromkeys(kinds_of("probes"), "probe"), **dict.fromkeys(TRAINING, "train")}
    expected = [shared.get(rule, rule) for rule, _ in jobs(planned) if rule not in of_shell]
    assert sorted(name for name, _, _ in commands) == sorted(expected)
    steps = {path.stem for path in (ROOT / "vaeglow/steps").glob("*.py")} - {"__init__", "cli"}
    assert {name for name, _, _ in commands} == steps  # no step that no rule calls
    for name, flags, log in commands:
        importlib.import_module(f"vaeglow.steps.{name}").main.parser.parse_args(shlex.split(flags))
        rule = log.split("/")[1]
        assert name == shared.get(rule, rule)


def test_jobs_ask_for_the_gpus_and_threads_of_all_their_processes(planned):
    asked = {}
    for job in re.split(r"\n(?=(?:local)?rule \w+:)", planned):
        rule = re.match(r"(?:local)?rule (\w+):", job)
        threads = re.search(r"^    threads: (\d+)", job, re.MULTILINE)
        gpu = re.search(r"\bgpu=(\d+)", job)
        if rule and gpu and ("preset=" not in job or "preset=demo" in job):
            asked[rule[1]] = int(gpu[1]), int(threads[1]) if threads else 1
    assert {rule for rule, (gpu, _) in asked.items() if gpu == 2} == {*TRAINING}
    measuring = ("sample", "likelihood", "evaluate", "fid_reference", "time_epoch", "tune")
    assert {asked[rule] for rule in TRAINING} == {(2, 2)} and {asked[rule][0] for rule in measuring} == {1}
    assert asked["sample"] == asked["evaluate"] == (1, 1) and asked["time_epoch"] == asked["tune"] == (1, 8)


def test_a_mistyped_target_s_last_line_has_the_nearest_name(tmp_path):
    output = workflow("-n", "tun", cwd=tmp_path, ok=False)
    assert "MissingRuleException" in output
    assert output.splitlines()[-1] == "error: no rule makes 'tun' (did you mean 'tune'?)"


RUN = "results/demo/photos32"


@pytest.mark.parametrize(
    ("target", "near"),
    [
        ("results/tabel2.csv", "results/table2.csv"),
        (f"{RUN}/vae_glow/seed0/model.safetensors", f"{RUN}/vaeglow/seed0/model.safetensors"),
        (f"{RUN}/vae/seed0/samples/T0.7.npz", f"{RUN}/vae/seed0/samples/T0.75.npz"),
    ],
)
def test_files_of_results_and_of_runs_can_be_near(target, near):
    assert nearest(target, targets.askable(shipped_config(), checked())) == f" (did you mean '{near}'?)"


def test_own_images_need_only_the_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = (ROOT / "config/examples/own_dataset.yaml").read_text(encoding="utf-8")
    config = merge(shipped_config(), yaml.safe_load(example))
    view = checked(example)["demo"]
    table2 = plan.needs(view, "tables", "table2")
    assert {need["dataset"] for need in table2} == {"mine"}
    assert {plan.protocol(view, need["protocol"])["images"] for need in table2} == {50}
    with pytest.raises(UserError, match=r"^dataset mine: my_images is not there: make it, or correct the path$"):
        targets.source_settings(config, "mine")
    Path("my_images").mkdir()
    assert targets.source_settings(config, "mine")["root"] == "my_images"


@pytest.mark.parametrize(
    ("slip", "more", "says"),
    [
        ("{}", ["--config", "training={epochs: 3}"], "'training.epochs' is '3' (str), not of type integer"),
        ("datasets: {photos32: {size: 24}}", [], "model vae needs a side that is a power of two, 4 or more, for its"),
    ],
    ids=["when the config is read", "when a run is planned"],
)
def test_a_slip_ends_snakemake_with_one_line(slip, more, says, tmp_path):
    (tmp_path / "slip.yaml").write_text(slip)
    output = workflow("-n", "results/table2.csv", "--configfile", "slip.yaml", *more, cwd=tmp_path, ok=False)
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert says in line
    assert "Traceback" not in output and "additionalProperties" not in output
    assert more == [] or len(output.splitlines()) < 6


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


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A checkout whose heavy steps are stubs, with Table 2 and the sample sheet built at preset demo."""
    checkout = tmp_path_factory.mktemp("a checkout") / "it's here"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("workflow", "config", "profiles", "vaeglow"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=ignore)
    (checkout / "resources").mkdir()
    shutil.copy(ROOT / "resources/published.csv", checkout / "resources")
    shutil.copy(ROOT / "environment.yml", checkout)
    shutil.copy(ROOT / "Snakefile", checkout)
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


def test_what_is_built_stays_until_it_is_asked_for_anew_and_plain_snakemake_builds_everything(checkout):
    changed = overlay(checkout, "runtime: {device: cpu, save_minutes: 1.5, memory: checkpoint, tensorboard: true}")
    (checkout / "vaeglow/reporting/style.py").touch()
    assert "Nothing to be done" in snakemake("--cores", "1", *changed, cwd=checkout)  # how to run is no result
    before = published(checkout, "demo")
    other = jobs(snakemake("--cores", "2", *TARGETS, "--config", "preset=short", cwd=checkout))
    assert {wildcards["preset"] for _, wildcards in other if "preset" in wildcards} == {"short"}
    assert all(now != then for now, then in zip(published(checkout, "short"), before, strict=True))
    for target in TARGETS:
        (checkout / target).unlink()
    back = jobs(snakemake("--cores", "2", *TARGETS, cwd=checkout))
    assert sorted(rule for rule, _ in back) == ["publish", "publish_figure"] and published(checkout, "demo") == before
    snakemake(cwd=checkout)  # the default profile
    made = [*TARGETS, "results/table4.tex", "results/figure5.pdf", "results/claims.csv"]
    assert all((checkout / target).is_file() for target in made)
    assert dry_run("all", cwd=checkout) == []
    assert reported(checkout) >= {"table1.csv", "table4.html", "figure5.png", "claims.csv", "curves.png"}


ABLATIONS = {f"results/{name}.{end}" for name in ("noise", "squeeze", "training") for end in ("csv", "html")}
ABLATIONS |= {"results/ablations.png"}


def published(checkout: Path, preset: str) -> list[str]:
    """The targets' content, which is that of a preset."""
    found = [(checkout / target).read_text() for target in TARGETS]
    made = (checkout / "results" / preset / name for name in ("tables/table2.csv", "figures/samples.png"))
    assert found == [path.read_text() for path in made]
    return found


def reported(checkout: Path) -> set[str]:
    """The names of the files in the report of what has been built."""
    snakemake("--report", "report.html", "built", cwd=checkout)
    text = (checkout / "report.html").read_text(encoding="utf-8")
    assert (ROOT / "workflow/report/style.css").read_text(encoding="utf-8") in text
    categories = json.loads(re.search("var categories = (.*?);\n", text)[1])
    assert "results/samples.png" in [path for paths in categories["Figures"].values() for path in paths]
    assert not {path for paths in categories.get("Ablations", {}).values() for path in paths} - ABLATIONS
    return set(re.findall(r'"name": "([^"]+)"', text))


def test_a_report_shows_what_there_is(checkout, tmp_path, monkeypatch):
    names = {"table2.csv", "table2.html", "samples.png"}
    assert reported(checkout) & {"table1.csv", "figure1.png", *names} == names
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^nothing is built: run `make table2`$"):
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
    trained = {wildcards["model"] for rule, wildcards in found if rule.startswith("train_")}
    assert trained == {"vae", "vaeglow", "vaeglow_as_written"}
    style = checkout / "vaeglow/reporting/style.py"
    style.write_text(style.read_text().replace("#1a1a1a", "#0a0a0a"))
    assert [rule for rule, _ in dry_run(*TARGETS, cwd=checkout)] == ["figure", "publish_figure"]
    assert not (checkout / RECORD).exists()


def test_preparing_identical_data_again_trains_nothing(checkout):
    # Stubs write the same bytes; the arrays get new times, and dataset.json is compared by content.
    info = checkout / "resources/data/photos32/dataset.json"
    before = info.stat().st_mtime_ns
    snakemake("--cores", "1", "resources/data/photos32/dataset.json", "--forcerun", "prepare_data", cwd=checkout)
    assert info.stat().st_mtime_ns > before
    assert "Nothing to be done" in snakemake("-n", "results/table2.csv", cwd=checkout)
    info.write_text("other")
    found = dry_run("results/table2.csv", cwd=checkout)
    assert [rule for rule, _ in found].count("train_vae") == 1


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))


def body(rule: str) -> str:
    """The text of a rule, and of the one that it uses."""
    base, text = re.search(
        rf"^(?:use rule (\w+) as |rule ){rule}(?: with)?:\n(.*?)(?=^\S|\Z)", RULES, re.MULTILINE | re.DOTALL
    ).groups()
    return text + (body(base) if base else "")


def test_slurms_profile_keeps_what_the_default_one_says():
    default = profile("default")
    slurm = profile("slurm")
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


@pytest.mark.parametrize("rule", TRAINING)
def test_training_takes_its_shells_place(rule):
    """A shell in between would die of the signal that the trainer saves on, and the job with it."""
    assert re.search(r'shell:\n\s+"""\n\s+exec python -m vaeglow\.steps\.train ', body(rule))


def test_what_computes_asks_for_a_gpu_and_the_rest_runs_beside_snakemake():
    for rule in re.findall(r"^(?:use rule \w+ as |rule )(\w+)", RULES, re.MULTILINE):
        asks = set(re.findall(r"gpu=(.+),\n", body(rule)))
        assert (not asks) == ("localrule: True" in body(rule)) and len(asks) < 2, rule
        assert ("{resources.options}" in body(rule)) == bool(asks), rule
        assert ("devices(wildcards) * gpus(wildcards)" in str(asks)) == (rule in TRAINING), rule


def test_a_rule_uses_another_only_for_the_same_command():
    """What such a rule says for itself: its log and its models."""
    for rule, text in re.findall(r"^use rule \w+ as (\w+) with:\n(.*?)(?=^\S|\Z)", RULES, re.MULTILINE | re.DOTALL):
        assert set(re.findall(r"^    (\w+):", text, re.MULTILINE)) <= {"log", "wildcard_constraints"}, rule


@pytest.mark.parametrize(("limit", "stays"), [("100/1s", False), ("50/1m", True)])
def test_only_a_limit_of_ones_own_on_new_jobs_stays(tmp_path, limit, stays):
    says = 'onsuccess:\n    print("limited:", bool(workflow.scheduler.job_rate_limiter))\n'
    (tmp_path / "Snakefile").write_text(f'include: "{ROOT / "Snakefile"}"\n{says}')
    spec = "results/demo/specs/tables/table1.json"
    output = snakemake("--cores", "1", "--max-jobs-per-timespan", limit, "--", spec, cwd=tmp_path)
    assert f"limited: {stays}" in output and (tmp_path / spec).exists()
