"""Inception features for FID: the package's loop over an array and pytorch-fid's own loop over PNG files."""

import contextlib
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Case, Facts, Peer, Setting, Work, ratios
from benchmarks.work import ROOT, photographs, random_inception, shipped_config
from vaeglow.paths import INCEPTION

IMAGES = {False: 100, True: 4}  # by `quick`
COMPARED = 4  # images whose features are compared
FEATURES = 2048
THEIR_BATCH = 50  # pytorch-fid's default
WEIGHTS = ROOT / INCEPTION


def inception_file(folder: Path) -> Path:
    """The Inception weights of the workflow, or random ones where they are missing: the time is the same."""
    from vaeglow.evaluation.inception import KEY
    from vaeglow.weights import write_tensors

    if WEIGHTS.exists():
        return WEIGHTS
    path = folder / "inception.safetensors"
    if not path.exists():
        write_tensors(path, random_inception(), KEY, {"source": "random"})
    return path


def ours(setting: Setting) -> Work:
    """The package's loop, as step `evaluate` calls it."""
    from benchmarks.cost import count, matrix_rate
    from vaeglow.device import pick_device
    from vaeglow.evaluation.fid import extract_features
    from vaeglow.evaluation.inception import load_inception

    device = pick_device(setting.device)
    batch = shipped_config()["evaluation"]["batch_size"]
    network = load_inception(inception_file(setting.folder), FEATURES, device)
    images = photographs(IMAGES[setting.quick])

    def features(count: int) -> Any:
        return list(itertools.chain.from_iterable(extract_features(images[:count], network, batch, device)))

    flops = count(lambda: features(COMPARED))["flops"] * len(images) // COMPARED
    compared = [value.item() for row in features(COMPARED) for value in row]
    facts = {"flops": flops, "matrix_rate": matrix_rate(device), "features": compared}
    return lambda: features(len(images)), len(images), facts


def theirs(setting: Setting) -> Work:
    """`pytorch_fid.fid_score.get_activations` on the same images as PNG files, read in the same process."""
    from PIL import Image
    from pytorch_fid import fid_score

    from vaeglow.device import pick_device
    from vaeglow.evaluation.inception import load_weights, pytorch_fid_network

    device = pick_device(setting.device)
    network = pytorch_fid_network(load_weights(inception_file(setting.folder)), FEATURES).to(device)
    paths = []
    for number, image in enumerate(photographs(IMAGES[setting.quick])):
        paths.append(setting.folder / f"{number}.png")
        Image.fromarray(image.transpose(1, 2, 0)).save(paths[-1])

    def features(count: int) -> Any:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):  # its bar
            return fid_score.get_activations(paths[:count], network, THEIR_BATCH, FEATURES, device, num_workers=0)

    return lambda: features(len(paths)), len(paths), {"features": features(COMPARED).flatten().tolist()}


def check(facts: Mapping[str, Facts]) -> None:
    """The same features."""
    ours, theirs = (peer["features"] for peer in facts.values())
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    if not any(ours):
        raise ValueError("all features are 0")


CASE = Case(
    "features",
    "Inception features for FID (2,048 of each 32x32 image)",
    (Peer("vaeglow", "vaeglow", ours), Peer("pytorch-fid", "pytorch-fid", theirs, package=False)),
    lambda measured: ratios(measured, "pytorch-fid", "pytorch-fid", target=1.5),
    check,
)
