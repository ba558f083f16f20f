"""A study that goes on from what is kept of it, on a machine that has nothing else; what is refused; its page."""

import os
import re
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from refusals import user_error
from run_tools import Run, prepare, resolved, shipped_config
from scipy.stats import ttest_1samp
from test_demo import SHOWN, SMALL, drawn_again, inception_overlay, measured, verified
from test_workflow import jobs, workflow
from waiting import LIMIT, ROOT, python, said, state_of, text_of, until, warm

from study import again as restore
from study import study as program
from study import update
from vaeglow import study
from vaeglow.config import FILES, merge
from vaeglow.files import read_json, write_json, write_text

FLAGS = f"--flags=-s {ROOT / 'Snakefile'}"
VAE = "tiny/blobs/vae/seed0"
OURS = "tiny/blobs/vaeglow/seed0"


def project(folder: Path) -> Path:
    """A config with a table, two figures and a claim; three seeds; the photographs stand for faces, too."""
    config = shipped_config()
    few = ("table2", "samples", "figure2", "quality_main")
    for section in ("tables", "figures", "claims"):
        config[section] = {name: entry for name, entry in config[section].items() if name in few}
    config["presets"] = {"demo": {**config["presets"]["demo"], "claims": {}} | SHOWN}
    folder.mkdir(parents=True)
    three = {"preset": "demo", "seeds": [0, 1, 2], "overrides": {"roles": {"faces": "photos32"}}}
    overlay = merge(SMALL, inception_overlay(folder / "weights.pth"), three)
    empty = {f"config/{name}": {} for name in FILES}  # or the repository's would be read
    for name, content in {**empty, "config/config.yaml": config, "demo.yaml": overlay}.items():
        write_text(folder / name, yaml.safe_dump(content))
    return folder


def run(folder: Path, *options: object, status: int = 0) -> str:
    """What `make study` calls; its output."""
    return said(python(ROOT / "study/study.py", *options, cwd=folder, env=warm()), status)


def left(folder: Path, *options: object) -> set[str]:
    """Runs to train, as a line says and as Snakemake plans; of all others it plans nothing but reports."""
    count = re.search(r"(\d+) runs to train", run(project(folder), *options, "--plan"))[1]
    trained, others = set(), set()
    for rule, wildcards in jobs(workflow("--configfile", "demo.yaml", "-n", "all", cwd=folder)):
        if "model" in wildcards and rule != "training_curves":
            (trained if rule.startswith("train_") else others).add(f"{wildcards['model']} {wildcards['seed']}")
    assert len(trained) == int(count) and others <= trained
    return trained


@pytest.mark.slow
def test_another_machine_goes_on_from_what_is_kept(tmp_path, monkeypatch):
    kept, first, second, third = (tmp_path / name for name in ("study/runs", "first", "second", "third"))
    options = ("demo.yaml", "--kept", kept, FLAGS)
    assert "RUNS=x is in no run's folder, such as demo/photos32/" in run(project(first), *options, "--runs=x", status=2)
    assert "RUNS=*vae is not a regular expression: nothing to repeat" in run(first, *options, "--runs=*vae", status=2)
    run(first, *options, "--runs=/vae/seed[12]")
    trained = {path.parent.name for path in (first / "results/demo/photos32").glob("*/seed*/training.json")}
    assert trained == {"seed1", "seed2"} and not [*first.glob("results/*.csv")]
    assert "to train: demo/photos32/glow/seed2, about 0.00 h" in run(first, *options)
    spec = read_json(first / "results/demo/study.json")
    assert not re.search("/samples/|safetensors", "".join(path.as_posix() for path in kept.rglob("*.*")))
    assert left(second, *options) == set()
    run(second, *options)
    assert measured(second) == measured(first) and verified(second)

    # Of a run that is not there, with its base, the base is trained again, too, and all that stand on it.
    shutil.rmtree(kept / "demo/photos32/glow/seed1")
    shutil.rmtree(kept / "demo/photos32/vaeglow/seed0")
    training = kept / "demo/photos32/vae/seed0/training.json"
    before = read_json(training)
    assert left(third, *options) == {"glow 1", "vae 0", "vaeglow 0", "vaeglow_as_written 0"}
    run(third, *options)
    assert read_json(training)["weights_sha256"] == before["weights_sha256"] and read_json(training) != before
    # Three models under three seeds, and one of a figure of images, which shows the first seed only.
    assert verified(third) and len(study.finished(kept, spec)) == len(spec["runs"]) == 10

    # The page: means over seeds and their intervals; no real images of the dataset of faces.
    write_text(tmp_path / "study/demo.yaml", "preset: demo")
    monkeypatch.chdir(third)
    update.main(["demo", f"--docs={tmp_path / 'docs'}"])
    pages = ("-tables", "-figures", "-claims")
    text, figures, claims = (text_of(tmp_path / f"docs/measured{name}.md") for name in pages)
    for row in measured(third):
        fids = [read_json(path)["fid"] for path in third.glob(f"results/*/*/{row['run']}/*/metrics/*/*.json")]
        ends = re.search(rf"\| {re.escape(row['fid'])} ± {re.escape(row['fid_sd'])} \[(\S+), (\S+)\]", text).groups()
        assert [*map(float, ends)] == pytest.approx([*ttest_1samp(fids, 0).confidence_interval()], abs=0.03)
    assert "![Figure 2" in figures and "samples.png" not in figures and str(tmp_path) not in text + figures
    assert "measured/claims.md" in claims and "| Claim | Claim as tested | The paper's numbers |" in claims

    # Drawn again from what is kept, and from an archive: the same tables.
    sources = [kept]
    if find_spec("rocrate"):
        workflow("--cores", "1", "--force", "archive", "--configfile", "demo.yaml", cwd=third)
        sources.append(third / "results/demo.zip")
    for number, source in enumerate(sources):
        again = tmp_path / f"again{number}"
        drawn = {*re.findall(r"\(Rule: (\w+)\)", drawn_again(source, again, "CORES=2"))}
        assert not {rule for rule in drawn if rule.startswith("train")}
        for name in ("table2.csv", "claims.csv"):
            assert text_of(again / "results" / name) == text_of(third / "results" / name)


def test_what_is_kept_comes_back_if_it_belongs_together(results_tree, tmp_path, monkeypatch):
    shutil.copytree(results_tree, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    names = ("config.json", "history.csv", "training.json", "likelihood.json", "likelihood.npz")
    kept = Path("kept")
    runs = {run: {"base": base, "files": [f"{run}/{n}" for n in names]} for run, base in ((VAE, None), (OURS, VAE))}
    spec = {"runs": runs, "others": ["tiny/blobs/timing.json"]}
    write_json("results/tiny/study.json", spec)
    assert study.keep(kept, spec) == 12 and study.keep(kept, spec) == 0
    for path, key, of, says in (
        (f"results/{VAE}/config.json", "training", "epochs", "training.epochs is 2 there, 9 here: delete that folder"),
        ("resources/data/blobs/dataset.json", "sha256", "val", "data_sha256 is '"),
    ):
        content = read_json(path)
        write_json(path, content | {key: content[key] | {of: 9}})
        with user_error(f"^kept/{VAE}: {says}"):
            study.check(kept, spec)
        write_json(path, content)
    shutil.rmtree("results/tiny/blobs")
    assert study.restore(kept, spec) == 12  # with all timings
    assert len({path.stat().st_mtime_ns for path in Path("results/tiny/blobs").rglob("*.*")}) == 1
    again = Path(f"results/{VAE}/training.json")
    write_json(again, read_json(again) | {"skipped_steps": 1})
    for name in (f"{VAE}/likelihood.json", f"{VAE}/likelihood.npz", f"{OURS}/training.json"):
        Path("results", name).unlink()
    assert study.restore(kept, spec) == 0  # nothing that was measured before, nor the layer on the old base
    assert study.keep(kept, spec) == 3 and len(list((kept / VAE).iterdir())) == 3  # it replaces all of the old
    assert list(study.finished(kept, spec)) == [VAE]
    write_json(kept / VAE / "training.json", read_json(again) | {"inputs": {f"results/{VAE}/history.csv": "other"}})
    assert study.finished(kept, spec) == {}


def test_a_registration_trains_no_measured_run_again(tmp_path):
    first = ["config.json", "history.csv", "training.json"]
    bases = {"vae": None, "layer": "vae", "literal": "vae", "small": None, "levels": "small"}
    bases |= {"glow": None, "flow": None}
    runs = {run: {"base": base, "files": [f"{run}/{name}" for name in first]} for run, base in bases.items()}
    for run in ("layer", "levels", "glow", "flow"):
        runs[run]["files"] += [f"{run}/fid.json", f"{run}/kid.json", f"{run}/registration.json"]
    spec = {"runs": runs}
    kept = tmp_path / "kept"
    assert study.lost(tmp_path, kept, spec) == []
    there = [*runs["vae"]["files"], *runs["layer"]["files"][:4], *runs["small"]["files"], *runs["flow"]["files"][:3]]
    for name in (*there, "flow/registration.json", *runs["glow"]["files"][:4], "glow/model.safetensors"):
        write_text(tmp_path / name, "")
    # The VAE was measured with its layer. What stands on small, and flow, were not measured; Glow has its weights.
    assert study.lost(tmp_path, kept, spec) == ["layer", "literal"]
    for name in runs["layer"]["files"]:
        write_text(tmp_path / name, "")
    assert study.lost(tmp_path, kept, spec) == ["literal"]
    (tmp_path / "glow/model.safetensors").unlink()
    assert study.lost(tmp_path, kept, spec) == ["literal", "glow"]

    # Glow was measured, lost and trained again: neither what was kept of it is replaced, nor is it measured again.
    for name in ("glow/training.json", "glow/model.safetensors"):
        write_text(tmp_path / name, "again")
    for name in runs["glow"]["files"]:
        write_text(kept / name, "")
    (tmp_path / "glow/fid.json").unlink()
    assert study.lost(tmp_path, kept, spec) == ["literal", "glow"]
    write_text(tmp_path / "glow/training.json", "")  # study.again
    assert study.lost(tmp_path, kept, spec) == ["literal"]


def test_lost_weights_come_back_to_the_byte_or_stay_lost(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = prepare(Path("data"))
    folder = Path("results") / OURS

    def trained(hour: int, seed: int = 0) -> dict[str, bytes]:
        """The files of a run that began at this hour, and ended its weights before its summary."""
        shutil.rmtree("results", ignore_errors=True)
        monkeypatch.setattr("vaeglow.results.now", lambda: f"2026-01-01T{hour:02}:00:05+00:00")
        base = Run(Path("results") / VAE, resolved("vae", seed), data).train()
        monkeypatch.setattr("vaeglow.training.run.now", lambda: f"2026-01-01T{hour:02}:00:03+00:00")
        Run(folder, resolved("vaeglow", seed), data, base).train()
        return {path.name: path.read_bytes() for path in folder.glob("*.*")}

    first = trained(1)
    kept = Path("kept")
    for name in ("config.json", "history.csv", "training.json"):
        (kept / OURS).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, kept / OURS)
    again = trained(2)
    changed = {name for name in first if first[name] != again[name]}
    assert changed == {"history.csv", "training.json", "model.safetensors", "snapshots.safetensors"}
    restore.main([OURS, "--kept=kept"])
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == first
    assert f"{OURS}: the weights that were lost, and 3 files from kept" in capsys.readouterr().out

    other = trained(3, seed=1)
    with user_error(f"{OURS}/model.safetensors is not the file that was lost: train it where kept/{OURS}/training"):
        restore.main([OURS, "--kept=kept"])
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == other


def test_a_registered_study_names_what_it_leaves_out_and_goes_on_with_the_rest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_text("new.yaml", "{preset: new, seeds: [3, 4, 5], registration: new.yaml}")
    names = ("config.json", "history.csv", "training.json", "fid.json", "kid.json")
    spec = {"runs": {run: {"base": None, "files": [f"{run}/{name}" for name in names]} for run in ("vae", "glow")}}
    write_json("results/new/study.json", spec | {"others": []})
    write_text("results/vae/fid.json", "")  # measured, and no weights
    asked = []

    def left(options: list[str], preset: str, wanted: list[str] | None) -> list[str]:
        asked.append(wanted)
        return []

    monkeypatch.setattr(program, "run", lambda *_: 0)
    monkeypatch.setattr(program.study, "check", lambda *_: None)
    monkeypatch.setattr(program.study, "restore", lambda *_: 0)
    monkeypatch.setattr(program, "left", left)
    for runs, wanted in {"": [f"results/glow/{name}" for name in names], "vae": None}.items():
        with pytest.raises(SystemExit, match="0"):
            program.main(["new.yaml", "--kept=kept", "--plan", f"--runs={runs}"])
        assert "left out: vae: its weights" in capsys.readouterr().out
        assert asked == ([wanted] if wanted else [])
        asked.clear()

    # What was measured is kept as it was, though the run was trained again.
    for run in spec["runs"]:
        for name in names[:3]:
            write_json(f"results/{run}/{name}", {"new": True})
    for name in names:
        write_json(f"kept/vae/{name}", {"new": False})
    monkeypatch.setattr(program, "run", lambda command, look, *_: look())
    monkeypatch.setattr(program, "say", lambda count, kept: count)
    with pytest.raises(SystemExit, match="3"):
        program.main(["new.yaml", "--kept=kept"])
    assert read_json("kept/vae/training.json") == {"new": False} and Path("kept/vae/fid.json").exists()


def test_folders_that_are_not_there_are_one_line_and_few_seeds_are_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_text("cpu.yaml", "{preset: cpu, seeds: [0], datasets: {cifar10_jpeg: {root: here}}}")
    write_text("finished.yaml", "{seeds: [0]}")  # an overlay, of no preset of its own
    for words, says in {
        ("x.yaml",): "^there is no study x.yaml: PRESET is one of cpu$",
        ("cpu.yaml",): "^no images at here: make study CIFAR=/their/folder, or put",
        ("cpu.yaml", "--cifar", "nowhere"): "CIFAR=nowhere is not a folder",
        ("finished.yaml",): "^there is no study finished.yaml: PRESET is one of cpu$",
        ("cpu.yaml", "--flags=--configfile x.yaml"): "x.yaml changes the study's config: write .* into cpu.yaml$",
        ("cpu.yaml", "--flags=--config preset=short"): "SNAKEMAKE_FLAGS=--config preset=short changes the study",
    }.items():
        with user_error(says):
            program.main([*words])
    Path("resources/data/cifar10_jpeg").mkdir(parents=True)
    program.link("CIFAR", None, Path("here"))  # prepared: nobody needs the images
    for name in ("here", "other"):
        Path(name).mkdir()
    with user_error("was prepared from .*/here: delete it to take other"):
        program.main(["cpu.yaml", "--cifar", "other"])
    Path("resources/data/cifar10_jpeg").rmdir()
    with user_error("here is a folder of images, not a link"):
        program.main(["cpu.yaml", "--cifar", "other"])
    monkeypatch.setattr(program, "run", lambda *_: 3)  # Snakemake fails
    with pytest.raises(SystemExit, match="3"):
        program.main(["cpu.yaml"])
    note = "note: cpu.yaml has fewer than 3 seeds: claims about training stay undecided\n"
    assert capsys.readouterr().out == note


def test_one_command_pauses_what_a_study_runs_and_goes_on_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with user_error("no study runs in"):
        program.pause_or_resume()
    lines = []

    def look() -> None:  # the first pauses it, the second resumes it, the third ends it
        files = [file for file in (program.PAUSED, program.GROUP) if file.exists()]
        if not files:
            return
        pid = int(files[0].read_text())
        if len(lines) == 2:
            os.kill(pid, signal.SIGKILL)
            return
        paused = not lines
        lines.append(program.pause_or_resume())
        until(lambda: (state_of(pid) == "T") == paused, lambda: bool(state_of(pid)))

    monkeypatch.setattr(program, "LOOK_SECONDS", 0.05)
    assert program.run(["sleep", str(LIMIT)], look) == -signal.SIGKILL
    assert lines == ["paused: the same command resumes it", "resumed"]
    assert not list(Path("results").iterdir())


def test_a_plan_leaves_the_names_of_a_running_study_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in (program.GROUP, program.PAUSED):
        write_text(file, "1")
    seen = []
    plan = program.GROUP.with_name("seeds3.group")
    assert program.run(["true"], lambda: seen.append(plan.exists()), plan) == 0
    assert seen == [False]  # its own is gone
    assert program.GROUP.exists()
    assert program.PAUSED.exists()
