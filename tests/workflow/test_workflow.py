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
from waiting import ROOT, call, warm

from vaeglow.evaluation.probes import PROBES
from vaeglow.time_left import RECORD

RULES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
TRAINING = re.findall(r"^(?:use )?rule (?:\w+ as )?(train_\w+)(?: with)?:", RULES, re.MULTILINE)
TABLE2_MODELS = {"glow", "vae", "vaeglow", "vaeglow_as_written"}


def snakemake(*arguments: str, cwd: Path, ok: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Its output. `env`: that of `waiting.warm` where None."""
    done = call([sys.executable, "-m", "snakemake", *arguments], cwd, env=warm() if env is None else env)
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
        if match := re.fullmatch(r"(?:local)?rule (\w+):", line):
            found.append((match[1], {}))
        elif line.startswith("    wildcards: "):
            found[-1][1].update(pair.split("=", 1) for pair in line.removeprefix("    wildcards: ").split(", "))
    return found


def dry_run(*arguments: str, cwd: Path) -> list[tuple[str, dict[str, str]]]:
    return jobs(snakemake("-n", *arguments, cwd=cwd))


@pytest.mark.parametrize("preset", ["demo", "cpu", "short", "paper"])
def test_table2_is_planned_for_every_preset_from_any_folder(preset, tmp_path):
    found = jobs(workflow("-n", "results/table2.csv", "--config", f"preset={preset}", cwd=tmp_path))
    trained = [wildcards["model"] for rule, wildcards in found if rule.startswith("train_")]
    assert sorted(trained) == sorted(TABLE2_MODELS)
    assert {wildcards["preset"] for _, wildcards in found if "preset" in wildcards} == {preset}
    assert [rule for rule, _ in found].count("fid_reference") == 1
    assert found[-1] == ("publish", {"table": "table2"})


def test_another_folder_may_have_a_config_of_its_own(tmp_path):
    (tmp_path / "config").mkdir()
    own = (ROOT / "config/config.yaml").read_text(encoding="utf-8").replace("preset: demo", "preset: short")
    (tmp_path / "config/config.yaml").write_text(own.replace("main: cifar10", "main: photos64"))
    found = jobs(workflow("-n", "results/demo/tables/table4.csv", "results/table4.csv", cwd=tmp_path))
    assert {wildcards["preset"] for rule, wildcards in found if rule == "table"} == {"demo", "short"}
    assert {wildcards["dataset"] for rule, wildcards in found if rule == "prepare_data"} >= {"photos32", "photos64"}


def test_every_rule_speaks_the_flags_of_its_step(tmp_path):
    output = workflow("-n", "-p", "all", "tune", cwd=tmp_path)
    for folder in ("cifar10_jpeg_fresh", "faces_jpeg_fresh"):
        (tmp_path / "resources/by_hand" / folder).mkdir(parents=True)
    (tmp_path / "study").mkdir(parents=True)
    shutil.copy(ROOT / "study/registered.yaml", tmp_path / "study")
    output += workflow("-n", "-p", "all", "--configfile", "study/registered.yaml", cwd=tmp_path)
    commands = re.findall(r"python -m vaeglow\.steps\.(\w+) (.*?)>\s*(\S+) 2>&1", output.replace("\n", " "))
    # Rule name = module name; all that train, and all that probe, run one module, and some are one shell command.
    of_shell = ("all", "write_config", "write_spec", "publish", "publish_figure", "publish_claims")
    shared = {**dict.fromkeys(PROBES, "probe"), **dict.fromkeys(TRAINING, "train")}
    expected = [shared.get(rule, rule) for rule, _ in jobs(output) if rule not in of_shell]
    assert sorted(name for name, _, _ in commands) == sorted(expected)
    steps = {path.stem for path in (ROOT / "vaeglow/steps").glob("*.py")} - {"__init__", "cli"}
    assert {name for name, _, _ in commands} == steps  # no step that no rule calls
    for name, flags, log in commands:
        importlib.import_module(f"vaeglow.steps.{name}").main.parser.parse_args(shlex.split(flags))
        assert name == shared.get(rule := log.split("/")[1], rule)


RUN = "results/demo/photos32"


@pytest.mark.parametrize(
    ("target", "near"),
    [
        ("results/tabel2.csv", "results/table2.csv"),
        (f"{RUN}/vae_glow/seed0/model.safetensors", f"{RUN}/vaeglow/seed0/model.safetensors"),
        (f"{RUN}/vae/seed0/samples/T0.7.npz", f"{RUN}/vae/seed0/samples/T0.75.npz"),
        ("tun", "tune"),
    ],
)
def test_the_last_line_has_the_name_nearest_to_a_mistyped_one(target, near, tmp_path):
    output = workflow("-n", target, cwd=tmp_path, ok=False)
    assert "MissingRuleException" in output
    assert output.splitlines()[-1] == f"error: no rule makes '{target}' (did you mean '{near}'?)"


def test_own_images_need_only_the_example(tmp_path):
    example = ["results/table2.csv", "--configfile", str(ROOT / "config/examples/own_dataset.yaml")]
    refused = workflow("-n", *example, cwd=tmp_path, ok=False).splitlines()[-1]
    assert refused == "error: dataset mine: my_images is not there: make it, or correct the path"
    (tmp_path / "my_images").mkdir()
    output = workflow("-n", "-p", *example, cwd=tmp_path)
    assert {wildcards["dataset"] for _, wildcards in jobs(output) if "dataset" in wildcards} == {"mine"}
    assert '"root": "my_images"' in output and "--images 50" in output


@pytest.mark.parametrize(
    ("slip", "more", "says"),
    [
        ("{}", ["--config", "training={epochs: 3}"], "'training.epochs' is '3' (str), not of type integer"),
        ("models: {vae: {netwrk: {base_dim: 8}}}", [], "unknown key 'models.vae.netwrk' (did you mean 'network'?)"),
        ("datasets: {photos32: {size: 24}}", [], "model vae needs a side that is a power of two, 4 or more, for its"),
    ],
)
def test_a_slip_ends_snakemake_with_one_line(slip, more, says, tmp_path):
    (tmp_path / "slip.yaml").write_text(slip)
    output = workflow("-n", "results/table2.csv", "--configfile", "slip.yaml", *more, cwd=tmp_path, ok=False)
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert says in line
    assert "Traceback" not in output and "additionalProperties" not in output
    if "datasets" in slip:  # found where a run on them is planned: on other data, no trouble
        assert "train_vae" in workflow("-n", "results/table3.csv", "--configfile", "slip.yaml", cwd=tmp_path)
    else:
        assert len(output.splitlines()) < 6


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


def test_a_report_shows_what_there_is(checkout):
    names = {"table2.csv", "table2.html", "samples.png"}
    assert reported(checkout) & {"table1.csv", "figure1.png", *names} == names
    for path in (checkout / "results").glob("*.*"):
        path.unlink()
    output = snakemake("--report", "report.html", "built", cwd=checkout, ok=False)
    assert output.splitlines()[-1] == "error: nothing is built: run `make table2`" and "Traceback" not in output


@pytest.mark.parametrize(
    ("says", "last"),
    [
        ("error: damaged\nerror: the rows are damaged", "error: the rows are damaged"),
        ("stopped: SIGTERM: state saved, run again to resume", "stopped: state saved, run again to go on"),
        ("Segmentation fault", "error: table failed: see logs/table/demo/table2.log"),
    ],
)
def test_the_last_line_of_a_failed_run_is_its_step_s_own(checkout, says, last):
    (checkout / "vaeglow/steps/table.py").write_text(f"import sys\nsys.exit({says!r})")
    for path in ("results/demo/tables/table2.csv", "results/table2.csv"):
        (checkout / path).unlink()
    output = snakemake("--cores", "1", "results/table2.csv", cwd=checkout, ok=False)
    assert output.splitlines()[-2:] == ["At least one job did not complete successfully.", last]


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
        asks = set(re.findall(r"gpu=(.+),\n", body(rule)))
        assert (not asks) == ("localrule: True" in body(rule)) and len(asks) < 2, rule
        assert ("--device " in body(rule)) == bool(asks), rule
        assert (asks == {"training_processes(gpus)"}) == (rule in TRAINING), rule


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
        **dict.fromkeys(("train_vae", "train_glow_layer", "train_baseline"), (2 * each, 2)),
        **dict.fromkeys(("sample", "likelihood", "evaluate", "fid_reference"), (each, 1)),
    }


@pytest.mark.parametrize(("limit", "stays"), [("100/1s", False), ("50/1m", True)])
def test_only_a_limit_of_ones_own_on_new_jobs_stays(tmp_path, limit, stays):
    says = 'onsuccess:\n    print("limited:", bool(workflow.scheduler.job_rate_limiter))\n'
    (tmp_path / "Snakefile").write_text(f'include: "{ROOT / "Snakefile"}"\n{says}')
    spec = "results/demo/specs/tables/table1.json"
    output = snakemake("--cores", "1", "--max-jobs-per-timespan", limit, "--", spec, cwd=tmp_path)
    assert f"limited: {stays}" in output and (tmp_path / spec).exists()
