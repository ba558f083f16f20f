"""Inception features for FID: the package's loop over an array beside pytorch-fid's own loop over PNG files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.case import Case, Measured, Peer, Row, Setting, Work, at_matrix_rate, require_close, times_faster
from benchmarks.data import ROOT, photographs

IMAGES = {False: 100, True: 4}  # by `quick`
COMPARED = 4  # images whose features are compared
FEATURES = 2048
THEIR_BATCH = 50  # pytorch-fid's default
TOLERANCE = 1e-4
WEIGHTS = ROOT / "resources/weights/inception-2015-12-05.safetensors"  # of step `inception_weights`


def inception_file(folder: Path) -> Path:
    """The Inception weights of the workflow, or random ones where they are not there: the time is the same."""
    if WEIGHTS.exists():
        return WEIGHTS
    path = folder / "inception.safetensors"
    if not path.exists():
        from vaeglow.evaluation.inception import save_weights

        save_weights(path, random_weights(), {"source": "random"})
    return path


def random_weights() -> dict[str, Any]:
    """Weights that keep activations of order one, with batch norms that do something."""
    import torch
    from pytorch_fid import inception

    def ignore(*_: object, **__: object) -> dict[str, Any]:
        return {}

    with (
        mock.patch.object(inception, "load_state_dict_from_url", ignore),
        mock.patch("torchvision.models.Inception3.load_state_dict", ignore),
    ):
        shapes = inception.fid_inception_v3().state_dict()
    generator, made = torch.Generator().manual_seed(0), {}
    for name, tensor in shapes.items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("conv.weight"):
            made[name] = noise * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "bn.bias", "running_mean", "running_var")):
            made[name] = 0.1 * noise + name.endswith(("bn.weight", "running_var"))
    return made


def ours(setting: Setting) -> Work:
    """The package's loop, as step `evaluate` calls it."""
    import yaml

    from benchmarks.counts import count, matrix_rate
    from vaeglow.device import pick_device
    from vaeglow.evaluation.fid import extract_features
    from vaeglow.evaluation.inception import load_inception

    device = pick_device(setting.device)
    batch = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))["evaluation"]["batch_size"]
    network = load_inception(inception_file(setting.folder), FEATURES, device)
    images = photographs(IMAGES[setting.quick], 32)

    def features(count: int) -> Any:
        return [one for part in extract_features(images[:count], network, batch, device) for one in part]

    flops = count(lambda: features(COMPARED))["flops"] * len(images) // COMPARED
    facts = {"flops": flops, "matrix_rate": matrix_rate(device)}
    facts["features"] = [value.item() for one in features(COMPARED) for value in one]
    return Work(lambda: features(len(images)), len(images), facts)


def theirs(setting: Setting) -> Work:
    """`pytorch_fid.fid_score.get_activations` on the same images as PNG files, read in the same process."""
    from PIL import Image
    from pytorch_fid import fid_score

    from vaeglow.device import pick_device
    from vaeglow.evaluation.inception import load_weights, pytorch_fid_network

    device = pick_device(setting.device)
    network = pytorch_fid_network(load_weights(inception_file(setting.folder)), FEATURES).to(device)
    paths = []
    for number, image in enumerate(photographs(IMAGES[setting.quick], 32)):
        paths.append(setting.folder / f"{number}.png")
        Image.fromarray(image.transpose(1, 2, 0)).save(paths[-1])

    def features(count: int) -> Any:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):  # its bar
            return fid_score.get_activations(paths[:count], network, THEIR_BATCH, FEATURES, device, num_workers=0)

    with contextlib.redirect_stdout(None):  # it warns of a batch larger than the images
        facts = {"features": features(COMPARED).flatten().tolist()}
    return Work(lambda: features(len(paths)), len(paths), facts)


def check(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """The same features."""
    ours, theirs = (found["features"] for found in facts.values())
    require_close("features", ours, theirs, TOLERANCE)
    if not any(ours):
        raise ValueError("all features are 0")


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """The ratio, and what bounds it."""
    ours, theirs = measured["vaeglow"], measured["pytorch-fid"]
    return [
        Row("vaeglow / pytorch-fid, images/s", times_faster(ours, theirs), 1.5),
        at_matrix_rate(ours, theirs, "pytorch-fid"),
    ]


CASE = Case(
    name="features",
    title="Inception features for FID (2,048 of each 32x32 image)",
    peers=(Peer("vaeglow", "vaeglow", ours), Peer("pytorch-fid", "pytorch-fid", theirs, package=False)),
    check=check,
    rows=rows,
)
