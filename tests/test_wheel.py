"""What a wheel holds, and what it does alone: in a folder and an environment that know of no clone."""

import os
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml
from fid_tools import write_pngs
from run_tools import blobs
from test_demo import ROWS, SHOWN, SMALL, inception_overlay
from test_workflow import copy_project
from waiting import ROOT, Row, call, python, said

import vaeglow
from vaeglow.config import merge
from vaeglow.files import read_csv, read_json
from vaeglow.results import source_sha256

PRIVATE = "config/mine/private.yaml"  # what git ignores stays out
DEMO = "docs/demo/vaeglow.safetensors"
BESIDE = ("config", "profiles", "resources", "workflow")  # the package


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """What a wheel is built of, in a folder of the package's name; nothing is downloaded."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("sources") / "vaeglow"
    copy_project(folder, "config", "profiles", "vaeglow", "workflow")
    shutil.copytree(ROOT / "resources/models", folder / "resources/models")
    (folder / "docs/demo").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore", DEMO):
        shutil.copy(ROOT / name, folder / name)
    (folder / PRIVATE).parent.mkdir()
    (folder / PRIVATE).touch()
    return folder


def wheel(sources: Path, how: str, folder: Path) -> zipfile.ZipFile:
    """The wheel that a hook of the build backend makes in a new folder."""
    folder.mkdir()
    said(python("-c", f"from hatchling import build; build.{how}({str(folder)!r})", cwd=sources, env=None))
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def site(sources, tmp_path_factory) -> Path:
    """A folder with what an installed wheel has."""
    folder = tmp_path_factory.mktemp("site")
    wheel(sources, "build_wheel", folder / "dist").extractall(folder)
    return folder


def files(folder: Path) -> set[str]:
    """All files below a folder, except what Python compiles."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts}


def test_it_has_the_package_and_one_copy_of_what_lies_beside_it(sources, site):
    package = {name for name in files(site / "vaeglow") if not name.startswith("shipped/")}
    assert package == files(sources / "vaeglow")
    beside = {f"{folder}/{name}" for folder in BESIDE for name in files(sources / folder)} - {PRIVATE}
    assert files(site / "vaeglow/shipped") == beside | {"Snakefile", "environment.yml", DEMO}
    for name in beside:
        assert (site / "vaeglow/shipped" / name).read_bytes() == (sources / name).read_bytes()


def test_an_editable_install_is_found_where_the_clone_lies(sources, tmp_path):
    """There the clone's own folder has the package's name: Python would take it for one that has nothing in it."""
    site = tmp_path / "site"
    wheel(sources, "build_editable", tmp_path / "dist").extractall(site)
    code = f"import site; site.addsitedir({str(site)!r}); import vaeglow; print(vaeglow.__version__, vaeglow.__file__)"
    found = python("-ES", "-c", code, cwd=sources.parent).stdout.split()
    assert found == [vaeglow.__version__, str(sources / "vaeglow/__init__.py")]


ALONE = """
import sys
EXTRA = "markdown matplotlib pygments skimage sklearn snakemake"
sys.modules |= dict.fromkeys(EXTRA.split())  # as if not installed
import numpy as np
import vaeglow
from vaeglow import __main__, results
images = np.random.default_rng(0).integers(256, size=(8, 3, 16, 16), dtype=np.uint8)
vaeglow.train(images, "vae", folder="kept", device="cpu", training={"epochs": 1})
print(results.source_sha256(), results.git_state())
path = "kept/demo/images/vae/seed0/model.safetensors"
for words in (
    f"info {path}",
    f"sample {path} --count 2",
    "models",
    "card photos32/vaeglow",
    "info cifar10_jpeg/glow",
    "init",
    "run results/table2.csv",
):
    sys.argv[1:] = words.split()
    __main__.main()
"""


def test_models_need_neither_a_clone_nor_the_packages_of_the_workflow(site, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = call([sys.executable, "-c", ALONE], tmp_path, env=environment)
    output = said(done, 2)
    assert done.stderr.endswith('error: the workflow needs Snakemake: pip install "vaeglow[workflow]"\n'), output
    assert f"{source_sha256()} ('unknown', None)" in output  # the clone's
    assert len([*(tmp_path / "samples").glob("*.png")]) == 2
    assert files(tmp_path / "profiles") == files(ROOT / "profiles")


@pytest.fixture
def installed(tmp_path) -> Row:
    """The environment of commands from a wheel, installed by pip beside the packages of the tests."""
    for tool in ("build", "hatchling", "twine"):
        pytest.importorskip(tool)
    dist, home = tmp_path / "dist", tmp_path / "home"
    said(python("-m", "build", "--no-isolation", "--outdir", dist, env=None))
    said(python("-m", "twine", "check", "--strict", *dist.iterdir()))
    said(python("-m", "venv", home))
    paths = {"base": str(home), "platbase": str(home)}
    place = Path(sysconfig.get_path("purelib", "venv", paths))
    said(call([home / "bin/python", "-m", "pip", "install", "--no-index", "--no-deps", *dist.glob("*.whl")], tmp_path))
    packages = [path for path in sys.path if path.endswith("site-packages")]  # without editable installs
    (place / "packages.pth").write_text("\n".join(packages))
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VAEGLOW"))}
    return {**plain, "PATH": f"{home / 'bin'}{os.pathsep}{plain['PATH']}", "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_model_and_a_table_outside_the_clone(installed, tmp_path):
    here = tmp_path / "empty"
    write_pngs(here / "photos", blobs(20, 3, size=16))

    def run(*words: str) -> str:
        return said(call(["vaeglow", *words], here, env=installed))

    assert "images 3x16x16" in run("train", "photos", "--size", "16")
    assert "samples.png: 16 images" in run("sample", "model.safetensors", "--grid")
    weights = inception_overlay(here / "weights.pth")
    small = merge(SMALL, weights, {"presets": {"demo": SHOWN}})
    (here / "overlay.yaml").write_text(yaml.safe_dump(small))
    table = ("results/table2.csv", "--configfile", "overlay.yaml")
    run("init")
    run("run", *table, "--cores", "2")
    assert len(read_csv(here / table[0])) == len(ROWS) + 5
    assert "Nothing to be done" in run("run", *table)
    about = read_json(here / "results/demo/photos32/vae/seed0/training.json")["provenance"]
    assert (about["source_sha256"], about["commit"]) == (source_sha256(), "unknown")
    model = "results/demo/photos32/vae/seed0/model.safetensors"
    assert "\nFID " in run("score", model, "resources/data/photos32", "--count", "16")
    run("run", "--report", "report.html", table[0], *table[1:])
    assert (ROOT / "profiles/style.css").read_text() in (here / "report.html").read_text()
