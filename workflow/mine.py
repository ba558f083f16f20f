"""`make mine`: write an overlay of the config for a folder of images, say how long it takes, print the new dataset."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vaeglow.config import check, lookup, merge, plan, read_config, resolve, view_of
from vaeglow.data import complete, folder
from vaeglow.errors import UnfitImages, UserError
from vaeglow.files import write_text
from vaeglow.steps import cli
from vaeglow.time_left import TYPICAL, duration

HERE = Path(__file__).resolve().parent
FEWEST = {"train": 80, "test": 20}
LOOKED_AT = 50  # images, to see whether they are grey
MEANT = {"demo": 3000, "cpu": 19_000}  # training images that a preset's epochs are meant for; with fewer, more epochs
TIMED = 3  # steps
EXPECT = (
    "what to expect of preset demo: of 600 faces samples that look like faces, of 300 mixed photographs coloured noise"
)
START = 5  # seconds until a job begins
SHOW = ["model", "fid", "kid", "bits_per_dim", "epochs", "train_seconds"]
HEAD = """# `make mine` wrote this for {root}; edit it, and go on with
#   snakemake --cores 2 results/{name}.csv results/{name}_samples.png --configfile {path}
# Every key is explained in config/README.md.

"""


def overlay_of(
    config: Mapping[str, Any], preset: str, name: str, data: Mapping[str, Any], counts: Mapping[str, int]
) -> dict[str, Any]:
    """The overlay of a dataset: networks and epochs that fit it, a protocol, a table and a figure of it.

    Args:
        config: without the dataset.
        preset: which networks are trained, and how long.
        name: the dataset's.
        data: its entry, without `models`.
        counts: its images, by split.
    """
    scale = max(1, data["size"].bit_length() - 3)  # 3 at 32, 4 at 64, as on photos32 and photos64
    data = {**data, "models": {"vae": {"network": {"num_scale": scale}}, "glow": {"network": {"levels": scale}}}}
    config = merge(config, {"datasets": {name: data}})
    view = view_of(config, preset)
    table = view["tables"]["table2"]
    figure = view["figures"]["samples"]
    usual = plan.protocol(view, view["evaluation"]["protocol"])
    times = max(1, MEANT.get(preset, 0) // counts["train"])
    measured = {**usual, "split": "test", "images": min(usual["images"], counts["test"])}
    protocol = "test-{images}-{features}".format(**measured)
    trained: dict[str | None, Any] = {None: None}  # of rows with real images
    for model in dict.fromkeys(row["model"] for row in table["rows"]):
        try:
            values = resolve(config, preset, name, model, 0)["training"]
            trained[model] = {"training": {key: times * values[key] for key in ("epochs", "warmup_epochs")}}
        except UnfitImages as error:
            print(f"note: {error}: left out", file=sys.stderr)

    def shown(entry: Mapping[str, Any], title: str, caption: str, **more: Any) -> dict[str, Any]:
        rows = [row for row in entry["rows"] if row.get("model") in trained]
        return {**entry, "title": f"{name}: {title}", "caption": caption, "dataset": name, **more, "rows": rows}

    of_table = {"protocol": protocol, "published": None, "show": SHOW}
    return {
        "preset": preset,
        "datasets": {name: data},
        "protocols": {protocol: measured},
        "overrides": {"datasets": {name: {"models": {model: longer for model, longer in trained.items() if model}}}},
        "tables": {name: shown(table, "FID and bits per dimension", "Compare rows with each other.", **of_table)},
        "figures": {f"{name}_samples": shown(figure, "the first samples drawn", "All models beside real images.")},
    }


def edited(path: Path, config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An overlay that is there; UserError where an edit broke it."""
    try:
        overlay = yaml.safe_load(path.read_text(encoding="utf-8"))
        check.check_config(
            merge(config, overlay), HERE / "schemas/config.schema.yaml", HERE.parent / "resources/published.csv"
        )
        _ = overlay["datasets"][name], overlay["tables"][name]
        return overlay
    except (yaml.YAMLError, UserError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}: correct it, or delete it for a new one") from None
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{path} lacks the dataset or the table {name}: delete it for a new one") from None


def training_seconds(config: Mapping[str, Any], images: int, device: str) -> float:
    """Seconds that a run takes to train on so many images, by steps of its untrained network on noise."""
    import torch

    from vaeglow.data.loader import batch_count
    from vaeglow.device import pick_device, set_threads
    from vaeglow.models.base import build
    from vaeglow.training.step import TrainingStep
    from vaeglow.training.timing import time_window

    training = {**config["training"], "devices": 1}
    data = {**config["data"], "train_subset": None}
    images = min(images, config["data"]["train_subset"] or images)
    set_threads(training["threads"])
    shape = (min(images, training["batch_size"]), data["channels"], data["size"], data["size"])
    noise = np.random.default_rng(0).integers(0, data["levels"], shape, np.uint8)
    on = pick_device(device)
    step = TrainingStep(build(config), {**config, "data": data, "training": training}, noise, on)
    step.initialise(step.batch)
    index = torch.arange(step.batch, device=on)
    for _ in range(2):  # the first is a warm-up
        seconds, _ = time_window(lambda: step.train_step(index, 0, {}), TIMED, on)
    return START + seconds / TIMED * training["epochs"] * batch_count(images, step.batch)


def estimate(config: Mapping[str, Any], preset: str, name: str, images: int, cores: int) -> str:
    """How long it takes until the table and the figure are made, in words: training by steps timed here."""
    from vaeglow.training.tuning import whole

    view = view_of(config, preset)
    table = plan.filled_in(view, "tables", name)
    models = dict.fromkeys(row["model"] for row in table["rows"])
    configs = {model: resolve(config, preset, name, model, view["seeds"][0]) for model in models}
    device = view["runtime"]["device"]
    seconds = {model: training_seconds(config, images, device) for model, config in configs.items()}
    threads = max(config["training"]["threads"] for config in configs.values())
    beside = max(1, cores // threads)  # jobs at once
    training = whole(configs, {model: [each] for model, each in seconds.items()}, beside)[0]
    jobs = TYPICAL["fid_reference"] + len(models) * TYPICAL["likelihood"]
    jobs += len(table["rows"]) * (TYPICAL["sample"] + TYPICAL["evaluate"])
    measuring = jobs / beside * max(1, table["images"] / 64)  # the demo's seconds, of 64 images
    both = (training + measuring) * len(view["seeds"])
    parts = ", ".join(f"{model} {duration(one)}" for model, one in seconds.items())
    return f"about {duration(both)} with CORES={cores}; training alone: {parts}"


def channels(files: Sequence[Path], size: int) -> int:
    """1 where all images are grey, else 3; UserError for a broken one."""
    grey = True
    for file in files:
        image = folder.read_or_reason(file, size, 3)
        if isinstance(image, str):
            raise UserError(f"{file}: {image}: repair or remove it")
        grey = grey and bool((image == image[:1]).all())
    return 1 if grey else 3


@cli.step
def main(images: str, *, size: int = 32, preset: str = "demo", cores: str = "1") -> None:
    """Write the overlay, where there is none, and say what it is.

    Args:
        images: a folder of images, or one with folders train/ and test/
        size: the side that they get
        preset: which networks are trained, and how long
        cores: that Snakemake takes
    """
    if not images:
        raise UserError("say which folder of images: make mine IMAGES=/its/path")
    if size < 8 or size & (size - 1):
        raise UserError(f"SIZE={size}: the networks take a side that is a power of two, such as 32, 64 or 128")
    root = Path(images).expanduser().resolve()
    config = read_config(Path("config").joinpath)
    lookup(config["presets"], preset, "preset")
    name = f"{re.sub('[^a-z0-9]+', '_', root.name.lower()).strip('_') or 'images'}_{size}"
    path = Path(f"config/mine/{name}-{preset}.yaml")
    data: dict[str, Any] = {"kind": "folder", "root": str(root), "size": size}
    if not any((root / split).is_dir() for split in FEWEST):
        data["test_fraction"] = 0.2
    files, _ = folder.divide(root, complete(data))
    counts = {split: len(found) for split, found in files.items()}
    if any(counts[split] < few for split, few in FEWEST.items()):
        has = "{train} images train and {test} test".format(**counts)
        raise UserError(f"{root}: {has}: {FEWEST['train']} and {FEWEST['test']} are needed, 100 in one folder")
    if path.exists():
        overlay = edited(path, config, name)
        did = "is there and used as it is (delete it for a new one)"
    else:
        data["channels"] = channels(files["train"][:LOOKED_AT], size)
        overlay = overlay_of(config, preset, name, data, counts)
        text = yaml.safe_dump(json.loads(json.dumps(overlay)), sort_keys=False, default_flow_style=None, width=120)
        write_text(path, HEAD.format(root=root, name=name, path=path) + text)
        did = "is written, yours to edit"
    dataset = overlay["datasets"][name]
    if dataset["root"] != str(root):
        raise UserError(f"{path} is of {dataset['root']}: delete it, or give {root} another name")
    kind = "in colour" if dataset["channels"] == 3 else "grey"
    print(f"{counts['train']} images train and {counts['test']} test, {kind}; {path} {did}", file=sys.stderr)
    count = int(cores) if cores.isdigit() else os.cpu_count() or 1
    print(estimate(merge(config, overlay), preset, name, counts["train"], count), file=sys.stderr, flush=True)
    if preset == "demo":
        print(EXPECT, file=sys.stderr, flush=True)
    print(name)
