"""The workflow as a module of another one, from a git repository: config, schema, published numbers, environments."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from table_tools import timed, write_timing
from test_workflow import copy_project, jobs, snakemake
from waiting import ROOT, call, git, said, text_of, warm

from vaeglow.config import merge
from vaeglow.files import read_csv, read_json

URL = "https://github.com/someone/vaeglow"
# What Snakemake's catalog writes, with the config of the project that uses the workflow; and from a clone, without one.
GITHUB = """
configfile: "config/config.yaml"

module vaeglow:
    snakefile: github("someone/vaeglow", path="workflow/Snakefile", tag="v1")
    config: config

use rule * from vaeglow
"""
GITFILE = """
module vaeglow:
    snakefile: gitfile({repository!r}, path="workflow/Snakefile", ref="main")

use rule * from vaeglow as flow_*
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """The files of the workflow, without the package, committed to a repository of their own."""
    folder = tmp_path_factory.mktemp("git") / "vaeglow"
    copy_project(folder, "workflow", "config", "profiles")
    for words in ("init -q -b main", "add .", "commit -qm all", "tag v1"):
        git(folder, *words.split())
    return folder


@pytest.fixture
def environment(repository, tmp_path) -> dict[str, str]:
    """github.com is the repository here; the package is found as an installed one is; caches are new."""
    moved = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf"}
    paths = os.pathsep.join(filter(None, [warm().get("PYTHONPATH"), str(ROOT)]))
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": paths, "GITHUB_TOKEN": ""}
    return {**warm(), **moved, "GIT_CONFIG_VALUE_0": URL, **cache}


def test_a_module_from_github_with_a_config_that_says_only_what_differs(environment, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("seeds: [3]")
    (tmp_path / "Snakefile").write_text(GITHUB)
    for factor, preset in ((0.01, "demo"), (1, "paper")):
        write_timing(tmp_path / "results", factor, preset, vaeglow_squeeze4=timed("vaeglow_squeeze4", 150 * factor))
    targets = ("results/table4.csv", "results/demo/photos32/glow/seed3/config.json")
    snakemake("--cores", "1", *targets, cwd=tmp_path, env=environment)
    assert {row["source"] for row in read_csv(tmp_path / targets[0])} == {"published", "measured"}
    assert read_json(tmp_path / targets[1])["training"]["epochs"] == 4
    assert "Nothing to be done" in snakemake("--cores", "1", *targets, cwd=tmp_path, env=environment)
    planned = {rule for rule, _ in jobs(snakemake("-n", "all", cwd=tmp_path, env=environment))}
    assert {"figure", "claims", "train_vae", "fid_reference"} <= planned


def test_a_module_from_a_clone_with_the_configs_of_the_repository(repository, environment, tmp_path):
    (tmp_path / "Snakefile").write_text(GITFILE.format(repository=str(repository)))
    options = ("-n", "-p", "results/table2.csv", "--config", "preset=cpu")
    output = snakemake(*options, cwd=tmp_path, env=environment)
    rules = [rule for rule, _ in jobs(output)]
    assert rules.count("flow_train_vae") == 1 and "flow_publish" in rules and "results/cpu/" in output
    line = snakemake("-n", "--config", "preset=cpus", cwd=tmp_path, env=environment, ok=False).splitlines()[-1]
    assert line.startswith("error: unknown preset 'cpus' (did you mean 'cpu'?)")


CHANGED = {"presets": {"demo": {"models": {"glow": {"training": {"epochs": 7}}}}}}


@pytest.mark.parametrize("tool", ["shutil", "snakedeploy"])
def test_the_files_of_a_deployment_count(tool, repository, environment, tmp_path):
    here = tmp_path / "here"
    if tool == "snakedeploy":
        program = shutil.which(tool) or pytest.skip(f"no {tool}: pip install {tool}")
        said(call([program, "deploy-workflow", URL, here, "--tag", "v1"], env=environment))
    else:
        for name in ("config", "profiles"):
            shutil.copytree(repository / name, here / name)
        (here / "Snakefile").write_text(GITHUB)
    presets = here / "config/presets.yaml"
    presets.write_text(yaml.safe_dump(merge(yaml.safe_load(presets.read_text()), CHANGED)))
    target = "results/demo/photos32/glow/seed0/config.json"
    snakemake("--cores", "1", target, cwd=here, env=environment)
    assert read_json(here / target)["training"]["epochs"] == 7
    snakemake("--report", "report.html", target, cwd=here, env=environment)
    assert text_of("profiles/style.css") in (here / "report.html").read_text()
