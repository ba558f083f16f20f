"""What a checkout's files say: of one another, of the demo, to `make` and in a wheel."""

import ast
import os
import re
import shutil
import signal
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from test_workflow import jobs
from waiting import ROOT, call, warm

import vaeglow
from tools import update_demo
from vaeglow import __main__ as command

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"torch": "pytorch", "snakemake": "snakemake-minimal"}
CONDA_ONLY = {"python", "pip"}
RANGES = ("torch", "torchvision")  # their versions carry a platform's tag


def split(requirement: str) -> tuple[str, str]:
    """("numpy", ">=1.26") of "numpy>=1.26"."""
    name, constraint = re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", requirement).groups()
    return re.sub(r"[-_.]+", "-", name).lower(), constraint


def test_environment_yml_is_the_conda_form_of_pyproject():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    by_pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    conda = dict(split(entry) for entry in [*(e for e in listed if isinstance(e, str)), *by_pip])
    wanted = {CONDA_NAMES.get(name, name): constraint for name, constraint in map(split, PROJECT["dependencies"])}
    assert {name: constraint for name, constraint in conda.items() if name not in CONDA_ONLY} == wanted
    assert conda["python"] == PROJECT["requires-python"]


def test_the_lock_pins_every_dependency_and_leaves_the_platform_open():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = dict(split(line) for line in lines if line and not line.startswith("#"))
    extras = [name for extra in PROJECT["optional-dependencies"].values() for name in extra]
    missing = {name for name, _ in map(split, [*PROJECT["dependencies"], *extras])} - set(pins)
    assert not missing
    for name, constraint in pins.items():
        assert constraint.startswith(">=" if name in RANGES else "=="), name
        assert "+" not in constraint, name


def test_citation_licence_and_catalogue_agree_with_pyproject():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"] == vaeglow.__version__
    assert PROJECT["scripts"] == {"vaeglow": f"{command.main.__module__}:main"}
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert "2004.05617" in citation["preferred-citation"]["journal"]
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    catalogue = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))
    assert "pip install" in catalogue["usage"]["mandatory-flags"]["desc"]


LAYERS = {  # package: what it may import of the others (docs/how-it-is-built.md)
    "data": set(),
    "models": set(),
    "training": {"data", "models"},
    "evaluation": {"data", "models"},
    "reporting": {"data", "models", "evaluation"},
}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """What the package is built of, in a folder of its name; nothing is downloaded."""
    pytest.importorskip("setuptools")
    folder = tmp_path / "vaeglow"
    shutil.copytree(ROOT / "vaeglow", folder / "vaeglow", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def wheel(sources: Path, how: str) -> zipfile.ZipFile:
    """The wheel that a hook of setuptools builds, beside the sources."""
    code = f"from setuptools import build_meta; build_meta.{how}('..')"
    assert call([sys.executable, "-c", code], sources).returncode == 0
    [path] = sources.parent.glob("*.whl")
    return zipfile.ZipFile(path)


def test_a_wheel_has_all_files_of_the_package(sources):
    names = {path.relative_to(sources).as_posix() for path in (sources / "vaeglow").rglob("*") if path.is_file()}
    assert names == {name for name in wheel(sources, "build_wheel").namelist() if name.startswith("vaeglow/")}


def test_an_editable_install_is_found_where_the_clone_lies(sources):
    """There the clone's own folder has the package's name: Python would take it for one that has nothing in it."""
    site = sources.parent / "site"
    wheel(sources, "build_editable").extractall(site)
    code = f"import site; site.addsitedir({str(site)!r}); import vaeglow; print(vaeglow.__version__)"
    assert call([sys.executable, "-ES", "-c", code], sources.parent).stdout.split() == [vaeglow.__version__]


@pytest.mark.parametrize("package", LAYERS)
def test_imports_go_one_way(package):
    for path in (ROOT / "vaeglow" / package).rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names += [f"{node.module}.{name.name}" for name in node.names]
        found = {name.split(".")[1] for name in names if name.startswith("vaeglow.")}
        assert not found & ({*LAYERS, "steps", "api"} - LAYERS[package] - {package}), path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files `make` reads, in a path with a space, with a python3 that only writes down how it is called."""
    folder = tmp_path / "a checkout"
    (folder / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    python = folder / "bin/python3"
    python.write_text(
        '#!/bin/sh\necho "python $*" >> calls\n'
        'case "$*" in\n'
        '  "-m venv .venv") mkdir -p .venv/bin && cp bin/python3 .venv/bin/python ;;\n'
        "  *mine.py*) echo flowers_64 ;;\n"
        "esac\n"
    )
    python.chmod(0o755)
    return folder


def make(checkout: Path, *arguments: str) -> tuple[str, list[str]]:
    """Output of make, and the calls of Python it led to."""
    (checkout / "calls").unlink(missing_ok=True)
    settings = ("MAKE", "PYTHON", "CORES", "SIZE", "PIP_FLAGS", "SNAKEMAKE_FLAGS", "PYTEST_FLAGS")  # of who tests
    environment = {key: value for key, value in os.environ.items() if not key.startswith(settings)}
    environment["PATH"] = f"{checkout / 'bin'}{os.pathsep}{environment['PATH']}"
    done = call(["make", *arguments], checkout, env=environment)
    assert done.returncode == 0, done.stderr
    calls = checkout / "calls"
    return done.stdout, calls.read_text().splitlines() if calls.exists() else []


SNAKEMAKE = "python -m snakemake --cores"
SHOW = "python -m vaeglow.reporting.terminal"
TABLE = "results/table2.csv results/samples.png"
HEADLINES = "quality_main likelihood_main training_speed flow_prior_grey"
MINE = "results/flowers_64.csv results/flowers_64_samples.png --configfile config/mine/flowers_64"
DRAWN = "--forcerun table figure claims --keep-going -- drawn"
MADE = [  # words for make, its last calls of Python, the end of what it prints
    ("table2", [f"{SNAKEMAKE} 1 {TABLE}", f"{SHOW} table results/table2.full.csv"], "make report"),
    ("all", [f"{SNAKEMAKE} 1", f"{SHOW} claims results/claims.csv {HEADLINES}"], "make report"),
    (
        "table2 CORES=2 SNAKEMAKE_FLAGS=--config=preset=short",
        [
            "python -m vaeglow.snakemake_errors --config=preset=short",
            f"{SNAKEMAKE} 2 {TABLE} --config=preset=short",
            f"{SHOW} table results/table2.full.csv",
        ],
        "make report",
    ),
    (
        "mine IMAGES=flowers SIZE=64 CORES=2",
        [
            "python workflow/mine.py flowers --size 64 --preset demo --cores 2",
            f"{SNAKEMAKE} 2 {MINE}-demo.yaml",
            f"{SHOW} table results/flowers_64.full.csv",
        ],
        "or edit config/mine/flowers_64-demo.yaml; docs/own-images.md",
    ),
    (
        "mine IMAGES=x PRESET=cpu",
        [
            "python workflow/mine.py x --size 32 --preset cpu --cores 1",
            f"{SNAKEMAKE} 1 {MINE}-cpu.yaml",
            f"{SHOW} table results/flowers_64.full.csv",
        ],
        "docs/own-images.md",
    ),
    ("verify", ["python -m vaeglow.verify results --data resources/data"], ""),
    ("archive", [f"{SNAKEMAKE} 1 --force archive"], "results/demo.zip"),
    (
        "figures FROM=some/demo.zip",
        [
            "python -m vaeglow.archive some/demo.zip --folder unpacked/demo",
            f"{SNAKEMAKE} 1 --directory unpacked/demo --configfile unpacked/demo/config.json --replace-workflow-config "
            f"--allowed-rules {re.search('^DRAWING = (.*)', MAKEFILE, re.MULTILINE)[1]} {DRAWN}",
        ],
        "drawn: unpacked/demo/results",
    ),
]


def test_make_installs_once_and_runs_what_it_says(checkout):
    (checkout / "results").mkdir()
    (checkout / "results/demo.zip").write_bytes(b"0" * 4096)
    (checkout / "resources/data").mkdir(parents=True)
    _, calls = make(checkout, "table2")
    assert next(call for call in calls if "pip install" in call).endswith("-c requirements.lock -e .")
    for words, last, end in MADE:
        output, calls = make(checkout, *words.split())
        assert calls[-len(last) :] == last and output.rstrip().endswith(end)
        assert not any(call.endswith("-e .") for call in calls)  # it is installed
    assert "train" not in MADE[-1][1][-1]
    _, calls = make(checkout, "archive")
    assert "python -m vaeglow.verify results --data resources/data" in calls  # what is packed is verified
    os.utime(checkout / "requirements.lock", (2**32, 2**32))
    _, calls = make(checkout, "table2")
    assert any("pip install" in call for call in calls)


def test_ctrl_c_ends_make_without_an_error_line_of_its_own(checkout):
    make(checkout, "table2")
    stopping = "#!/bin/sh\necho 'stopped: state saved' >&2\nkill -INT 0\nsleep 9\n"  # to make, too, as a terminal does
    (checkout / ".venv/bin/python").write_text(stopping)
    done = call(["make", "table2"], checkout, start_new_session=True)
    assert done.returncode == -signal.SIGINT
    assert done.stderr == "stopped: state saved\n"


def test_make_clean_keeps_results_and_clean_state_removes_resume_state_only(checkout):
    for folder in ("results/demo/d/m/seed0/state", ".venv/bin", "logs", "vaeglow", "tests"):
        (checkout / folder).mkdir(parents=True, exist_ok=True)
    (checkout / "results/demo/d/m/seed0/model.safetensors").touch()
    make(checkout, "clean-state")
    assert not (checkout / "results/demo/d/m/seed0/state").exists()
    make(checkout, "clean")
    assert (checkout / "results/demo/d/m/seed0/model.safetensors").exists()
    assert not (checkout / ".venv").exists() and not (checkout / "logs").exists()


def test_the_readme_and_the_demos_page_say_what_the_tables_hold():
    spread, table = update_demo.pd.read_csv(update_demo.SPREAD), update_demo.read_csv(update_demo.TABLE)
    for path, block in (
        (update_demo.README, update_demo.short_block()),
        (update_demo.PAGE, update_demo.block(spread, table, update_demo.PICTURE)),
    ):
        assert update_demo.BLOCK.findall(path.read_text(encoding="utf-8")) == [block], "run python -m tools.update_demo"
    assert len(update_demo.README.read_text(encoding="utf-8").splitlines()) <= 100
    assert re.fullmatch("[0-9a-f]{64}", spread["source_sha256"].unique().item())
    first = spread[spread["instructions"] == spread["instructions"][0]]
    for (run, temperature), rows in first.groupby(["run", "temperature"]):
        (cells,) = table[(table["run"] == run) & (table["temperature"] == str(temperature))].to_dict("records")
        means = rows[["fid", "kid", "bits_per_dim"]].mean()
        shown = (f"{means['fid']:.2f}", f"{means['kid']:.5f}", f"{means['bits_per_dim']:.3f}")
        assert shown == (cells["fid"], cells["kid"], cells["bits_per_dim"])


def test_the_demo_is_trained_anew_with_three_seeds_in_a_folder_of_its_own(tmp_path):
    done = call([*update_demo.command(tmp_path / "anew"), "-n", "--quiet", "host"], tmp_path, env=warm())
    assert done.returncode == 0, done.stderr
    trained = [wildcards for rule, wildcards in jobs(done.stdout + done.stderr) if rule.startswith("train_")]
    found = {(wildcards["preset"], wildcards["model"], wildcards["seed"]) for wildcards in trained}
    assert found == {
        ("demo", model, seed) for model in update_demo.read_csv(update_demo.TABLE)["run"] if model for seed in "012"
    }


def test_the_demos_weights_are_of_the_runs_that_the_readme_shows():
    assert update_demo.WEIGHTS.stat().st_size < 2_000_000
    model = vaeglow.load(update_demo.WEIGHTS, "cpu")
    spread = update_demo.pd.read_csv(update_demo.SPREAD)
    assert {model.about["provenance"]["source_sha256"]} == {*spread["source_sha256"]}
    assert model.sample(2, temperature=0.5).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("values", "errors", "says"),
    [
        ({"a": [1, 3], "b": [2, 2.5]}, None, "a, b"),
        ({"a": [1, 1], "b": [2, 0], "c": [3, 3], "d": [2.5, 5]}, None, "a, b < c, d"),
        ({"a": [1, 5], "b": [2, 6], "c": [3, 4]}, None, "a, c, b; a < b"),
        ({"a": [1], "b": [1.9]}, {"a": [0.3], "b": [0.4]}, "a, b"),
        ({"a": [1], "b": [2.1]}, {"a": [0.3], "b": [0.4]}, "a < b"),
    ],
)
def test_only_what_held_every_time_is_an_order(values, errors, says):
    assert update_demo.order(values, errors) == says
