"""What a checkout's files say: of one another, of the demo and to `make`."""

import ast
import os
import re
import shutil
import signal
import tomllib
from functools import partial
from itertools import chain
from pathlib import Path

import pytest
import yaml
from waiting import ROOT, Row, call, text_of

import vaeglow
from tools import update_demo
from vaeglow import __main__ as command

PROJECT = tomllib.loads(text_of("pyproject.toml"))["project"]
CONDA_NAMES = {"torch": "pytorch", "snakemake": "snakemake-minimal"}
RANGES = ("torch", "torchvision")  # their versions carry a platform's tag


def versions(*requirements: str) -> Row:
    """{"numpy": ">=1.26"} of "numpy>=1.26"."""
    found = {}
    for requirement in requirements:
        name, constraint = re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", requirement).groups()
        found[re.sub(r"[-_.]+", "-", name).lower()] = constraint
    return found


def test_environment_yml_is_the_conda_form_of_pyproject():
    listed = yaml.safe_load(text_of("environment.yml"))["dependencies"]
    (by_pip,) = (entry["pip"] for entry in listed if isinstance(entry, dict))
    conda = versions(*(entry for entry in listed if isinstance(entry, str)), *by_pip)
    ours = versions(*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["workflow"])
    wanted = {CONDA_NAMES.get(name, name): version for name, version in ours.items()}
    assert conda.pop("pip") == ""
    assert conda == wanted | {"python": PROJECT["requires-python"]}


def test_the_lock_pins_every_dependency_and_leaves_the_platform_open():
    pins = versions(*re.findall("^[^#\n]+", text_of("requirements.lock"), re.MULTILINE))
    assert versions(*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())).keys() <= pins.keys()
    for name, constraint in pins.items():
        assert constraint.startswith(">=" if name in RANGES else "==") and "+" not in constraint, name


def test_citation_licence_and_catalogue_agree_with_pyproject():
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert citation["version"] == vaeglow.__version__
    assert f"\n## {vaeglow.__version__}" in text_of("CHANGELOG.md")
    assert PROJECT["scripts"] == {"vaeglow": f"{command.main.__module__}:main"}
    assert citation["license"] == PROJECT["license"] == "MIT" and text_of("LICENSE").startswith("MIT License")
    assert "2004.05617" in citation["preferred-citation"]["journal"]
    catalogue = yaml.safe_load(text_of(".snakemake-workflow-catalog.yml"))
    assert "pip install" in catalogue["usage"]["mandatory-flags"]["desc"]


LAYERS = {  # package: what it may import of the others (docs/how-it-is-built.md)
    "data": "",
    "models": "",
    "training": "data models",
    "evaluation": "data models",
    "reporting": "data models evaluation",
}


@pytest.mark.parametrize("package", LAYERS)
def test_imports_go_one_way(package):
    forbidden = {*LAYERS, "steps", "api"} - {package, *LAYERS[package].split()}
    for path in (ROOT / "vaeglow" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                home = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                names = [f"{home}{alias.name}..".split(".") for alias in node.names]
                assert not getattr(node, "level", 0), path
                assert not [inner for outer, inner, *_ in names if outer == "vaeglow" and inner in forbidden], path


PYTHON = """#!/bin/sh
echo "python $*" >> calls
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin && cp bin/python3 .venv/bin/python ;;
  *mine.py*) echo flowers_64 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files `make` reads, in a path with a space, with a python3 that only writes down how it is called."""
    folder = tmp_path / "a checkout"
    (folder / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    python = folder / "bin/python3"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return folder


def make(checkout: Path, words: str, **variables: str) -> tuple[str, list[str]]:
    """Output of make with these environment variables, and the calls of Python it led to."""
    calls = checkout / "calls"
    calls.write_text("")
    # of who tests
    settings = ("MAKE", "PYTHON", "CORES", "PRESET", "SIZE", "PIP_FLAGS", "SNAKEMAKE_FLAGS", "PYTEST_FLAGS")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(settings)}
    environment["PATH"] = f"{checkout / 'bin'}{os.pathsep}{environment['PATH']}"
    done = call(["make", *words.split()], checkout, env=environment | variables)
    assert done.returncode == 0, done.stderr
    return done.stdout, calls.read_text().splitlines()


# Words for make, its last calls of Python, the end of what it prints.
MADE = """
$ make table2
python -m snakemake --cores 1 TABLE
SHOW table results/table2.full.csv
make report
$ make all
python -m snakemake --cores 1
SHOW claims results/claims.csv quality_main likelihood_main training_speed flow_prior_grey
make report
$ make table2 CORES=2 SNAKEMAKE_FLAGS=--config=preset=short
python -m vaeglow.snakemake_errors --config=preset=short
python -m snakemake --cores 2 TABLE --config=preset=short
SHOW table results/table2.full.csv
make report
$ make mine IMAGES=flowers SIZE=64 CORES=2
python workflow/mine.py flowers --size 64 --preset demo --cores 2
python -m snakemake --cores 2 results/flowers_64.csv results/flowers_64_samples.png MINE-demo.yaml
SHOW table results/flowers_64.full.csv
or edit config/mine/flowers_64-demo.yaml; docs/own-images.md
$ make mine IMAGES=x PRESET=cpu
python workflow/mine.py x --size 32 --preset cpu --cores 1
python -m snakemake --cores 1 results/flowers_64.csv results/flowers_64_samples.png MINE-cpu.yaml
SHOW table results/flowers_64.full.csv
docs/own-images.md
$ make verify
python -m vaeglow.verify results --data resources/data
$ make archive
python -m snakemake --cores 1 --force archive
results/demo.zip
$ make figures FROM=some/demo.zip
python -m vaeglow.archive some/demo.zip --folder unpacked/demo
python -m snakemake --cores 1 --directory unpacked/demo --configfile unpacked/demo/config.json DRAWING -- drawn
drawn: unpacked/demo/results
"""
(ALLOWED,) = re.findall("^DRAWING = (.*)", text_of("Makefile"), re.MULTILINE)
for short, long in {
    "MINE": "--configfile config/mine/flowers_64",
    "DRAWING": f"--replace-workflow-config --allowed-rules {ALLOWED} --forcerun table figure claims --keep-going",
    "TABLE": "results/table2.csv results/samples.png",
    "SHOW": "python -m vaeglow.reporting.terminal",
}.items():
    MADE = MADE.replace(short, long)


def test_make_installs_once_and_runs_what_it_says(checkout):
    for folder in ("results", "resources/data"):
        (checkout / folder).mkdir(parents=True)
    (checkout / "results/demo.zip").write_bytes(b"0" * 4096)
    install = "python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .[workflow]"
    assert install in make(checkout, "table2")[1] and "train" not in ALLOWED
    assert make(checkout, "all")[1][-1] == "python -m snakemake --cores 1"  # no claims: none are shown
    (checkout / "results/claims.csv").touch()
    for words, expected, end in re.findall(r"^\$ make (.*)\n((?:python .*\n)+)((?:[^$].*\n|\n)*)", MADE, re.MULTILINE):
        output, calls = make(checkout, words)
        last = expected.splitlines()
        assert calls[-len(last) :] == last and output.rstrip().endswith(end.rstrip())
        assert install not in calls
    assert "python -m vaeglow.verify results --data resources/data" in make(checkout, "archive")[1]
    os.utime(checkout / "requirements.lock", (2**32, 2**32))
    assert install in make(checkout, "table2")[1]


def test_make_takes_cores_and_preset_from_the_environment(checkout):
    assert "--cores 2" in make(checkout, "study")[1][-1]
    assert "--cores 8" in make(checkout, "study", CORES="8")[1][-1]
    assert "study/short.yaml --cores 5" in make(checkout, "study CORES=5", PRESET="short", CORES="8")[1][-1]
    assert "--preset short --cores 3" in make(checkout, "mine", PRESET="short", CORES="3")[1][-3]


def test_ctrl_c_ends_make_without_an_error_line_of_its_own(checkout):
    make(checkout, "table2")
    stopping = "#!/bin/sh\necho 'stopped: state saved' >&2\nkill -INT 0\nsleep 9\n"  # to make, too, as a terminal does
    (checkout / ".venv/bin/python").write_text(stopping)
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in the background ignore it
    done = call(["make", "table2"], checkout, start_new_session=True, preexec_fn=listen)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "stopped: state saved\n")


def test_make_clean_keeps_results_and_clean_state_removes_resume_state_only(checkout):
    run = checkout / "results/demo/d/m/seed0"
    away = [checkout / name for name in ("results/demo/d/m/seed0/state", ".venv", "logs")]
    for folder in (*away, checkout / "vaeglow", checkout / "tests"):
        folder.mkdir(parents=True)
    (run / "model.safetensors").touch()
    make(checkout, "clean-state")
    assert [folder.exists() for folder in away] == [False, True, True]
    make(checkout, "clean")
    assert not any(folder.exists() for folder in away) and (run / "model.safetensors").exists()


def test_the_readme_and_the_demos_page_say_what_the_tables_hold():
    spread = update_demo.pd.read_csv(update_demo.SPREAD)
    table = update_demo.read_csv(update_demo.TABLE)
    page = update_demo.block(spread, table, update_demo.PICTURE)
    for path, block in ((update_demo.README, update_demo.short_block()), (update_demo.PAGE, page)):
        assert update_demo.BLOCK.findall(text_of(path)) == [block], "run python -m tools.update_demo"
    assert len(text_of("README.md").splitlines()) <= 100
    first = spread[spread["instructions"] == spread["instructions"][0]]
    assert {*first["seed"]} == {0, 1, 2}
    for (run, temperature), rows in first.groupby(["run", "temperature"]):
        cells = table[(table["run"] == run) & (table["temperature"] == str(temperature))]
        for name, digits in {"fid": 2, "kid": 5, "bits_per_dim": 3}.items():
            assert f"{rows[name].mean():.{digits}f}" == cells[name].item()


ORDERS = yaml.safe_load("""
- [{a: [1, 3], b: [2, 2.5]}, null, "a, b"]
- [{a: [1, 1], b: [2, 0], c: [3, 3], d: [2.5, 5]}, null, "a, b < c, d"]
- [{a: [1, 5], b: [2, 6], c: [3, 4]}, null, "a, c, b; a < b"]
- [{a: [1], b: [1.9]}, {a: [0.3], b: [0.4]}, "a, b"]
- [{a: [1], b: [2.1]}, {a: [0.3], b: [0.4]}, a < b]
""")


@pytest.mark.parametrize(("values", "errors", "says"), ORDERS)
def test_only_what_held_every_time_is_an_order(values, errors, says):
    assert update_demo.order(values, errors) == says
