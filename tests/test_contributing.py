"""CONTRIBUTING.md's own code, block by block, in a copy of the project."""

import json
import re
from pathlib import Path

import pandas as pd
import yaml
from PIL import Image
from run_tools import shipped_config
from test_demo import SMALL as DEMO
from test_demo import inception_overlay
from test_workflow import copy_project, snakemake
from waiting import text_of

from vaeglow.config import merge

TEXT = text_of("CONTRIBUTING.md")
BLOCK = re.compile(r"^```(?:python|yaml|jinja)\n{?# (\S+)(?: #})?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OVERLAY = "mine.yaml"
TARGETS = [  # what all kinds of CONTRIBUTING.md are tried by
    "results/demo/stripes/pixels/seed0/likelihood.json",
    *(f"results/{name}" for name in ("bits.png", "latent_norm.csv", "claims.csv")),
]
SMALL = yaml.safe_load("""
datasets: {stripes: {size: 8, images: 64}}
protocols: {tiny: {split: test, images: 12, features: 64}}
overrides:
  roles: {main: stripes}
  training: {epochs: 3}
  models: {vae: {network: {num_scale: 1}, training: {epochs: 3}}}
  probes: {latent_norm: {images: 12}}
  evaluation: {protocol: tiny}
""")


def apply(path: Path, content: str) -> None:
    """Write a block: a new file, lines of an old one with `...` for what is in them, or at the end of an old one."""
    if not path.exists():
        path.write_text(content)
        return
    text = path.read_text()
    for line in content.splitlines():
        if "..." not in line:
            text += line + "\n"
            continue
        start, end = line.split("...")
        (old,) = (one for one in text.splitlines() if one.startswith(start))
        bracket = ")" if end.endswith(")") else ""
        text = text.replace(old, old.removesuffix(bracket) + end)
    path.write_text(text)


def test_it_works(tmp_path: Path) -> None:
    """A new model on a new dataset, probed; a new figure, table and claim of it; all made by the workflow."""
    project = tmp_path / "a project"
    copy_project(project, "vaeglow", "workflow", "config")
    left_out = {name: {"enabled": False} for name in shipped_config()["claims"]}  # they need larger runs
    config = merge({"overrides": {"claims": left_out}}, inception_overlay(project / "weights.pth"))
    blocks = BLOCK.findall(TEXT)
    assert len(blocks) == len(re.findall(r"^```\w", TEXT, re.MULTILINE)), "a block does not name its file"
    for path, content in blocks:
        if path.startswith("config/"):
            config = merge(config, yaml.safe_load(content))
        else:
            apply(project / path, content)
    (project / OVERLAY).write_text(yaml.safe_dump(merge(config, DEMO, SMALL)))
    snakemake("--cores", "1", "--configfile", OVERLAY, "--", *TARGETS, cwd=project)
    found = json.loads((project / TARGETS[0]).read_text())
    assert found["bound"] == "=" and 4 < found["bits_per_dim"] < 12
    assert json.loads((project / "resources/data/stripes/dataset.json").read_text())["kind"] == "stripes"
    with Image.open(project / "results/bits.png") as figure:
        assert "likelihood.json" in figure.text["Evidence"]
    table, claims = (pd.read_csv(project / f"results/{name}.csv") for name in ("latent_norm", "claims"))
    assert table["norm"].item() > 0
    assert "posterior mean of 12 test images" in text_of(project / "results/latent_norm.md")
    assert [*claims["claim"][claims["verdict"] == "undecided"]] == ["vae_covers"]
