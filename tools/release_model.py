"""Release a finished run's model under a name (docs/models.md): its file in half precision, its entry in the list.

    python -m tools.release_model results/cpu/cifar10_jpeg/vaeglow/seed0 cifar10_jpeg/vaeglow

The numbers in the entry are those of the run's result files, of one protocol: on test images where there is one, and
that with the most temperatures. Without a likelihood.json bits/dim are those of the validation images.
"""

from pathlib import Path

import yaml

from vaeglow.errors import UserError
from vaeglow.files import Facts, sha256_file, write_text
from vaeglow.paths import RUN, identity, shipped
from vaeglow.released import LIST, asset, read_list
from vaeglow.results import Result, machines, read_result
from vaeglow.steps import cli
from vaeglow.verify import read_checked
from vaeglow.weights import HALF, KEY, load_model, read_tensors, write_tensors

LARGE = 1024  # small tensors, such as a flow's 1x1 convolutions, matter most and take no room
QUALITY = (
    *("protocol", "split", "fid_samples", "fid_reference_images", "fid_features", "temperature"),
    *("fid", "kid", "kid_standard_error"),
)


def release(run: Path, name: str, file: Path | None = None) -> None:
    """See `main`.

    Raises:
        UserError: a result is missing, damaged or of other weights, or the file is; the data are not in the name or not
            in the list; a weight is too large for half precision.
    """
    listed = read_list()
    entry = measured(run)
    dataset = Path(entry["run"]).parts[1].removesuffix("_fresh")  # other test images, the same training images
    if dataset not in listed["data"] or name.partition("/")[0] != dataset:
        raise UserError(f"{name}: a name begins with the run's data, {dataset}, and {LIST} describes them under data")
    path = file or shipped("resources/models") / asset(name)
    source = run / "model.safetensors"
    if file is None:
        halve(source, path)
    elif sha256_file(file) != sha256_file(source):
        raise UserError(f"{file} is not {source}: copy it there first")
    where = {"path": path.resolve().relative_to(shipped(".")).as_posix(), "sha256": sha256_file(path)}
    listed["models"][name] = {**where, "bytes": path.stat().st_size, **entry}
    comment = shipped(LIST).read_text(encoding="utf-8").partition("\nrelease:")[0]
    text = yaml.safe_dump(listed, sort_keys=False, default_flow_style=None, allow_unicode=True, width=10**6)
    write_text(shipped(LIST), f"{comment}\n{text}")


def halve(source: Path, path: Path) -> None:
    """Write weights with their floating-point tensors of `LARGE` numbers or more in half precision; all else stays."""
    tensors, about = read_tensors(source, KEY)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel() >= LARGE:
            tensors[name] = tensor.to(HALF)
        if not tensors[name].isfinite().all():
            raise UserError(f"{source}: {name} is too large for half precision, so the model cannot be released")
    precision = f"float16, tensors of fewer than {LARGE:,} numbers float32"
    write_tensors(path, tensors, KEY, {**about, "precision": precision, "original_sha256": about["weights_sha256"]})


def measured(run: Path) -> Facts:
    """What a run's result files say of it: how it was trained, bits/dim, quality at each temperature."""
    network, about = load_model(run / "model.safetensors", "cpu")
    training = read(run / "training.json", about)
    kind = training.value("device_kind")
    clock = "cpu_" if kind == "cpu" else ""
    return {
        "run": RUN.format(**identity(about["config"])),
        "epochs": training.value("epochs_by_phase"),
        "train_images": training.value("train_images"),
        "train_seconds": round(sum(training.value(f"train_{clock}seconds_by_phase")), 1),
        "device_kind": kind,
        "device": ", ".join(dict.fromkeys(machines(training))),
        "parameters": training.value("parameters"),
        "likelihood": likelihood(run, training, about, network.bound),
        "quality": quality(run, about),
    }


def read(path: Path, about: Facts) -> Result:
    """A result of these weights; UserError for a damaged one, or one of others."""
    read_checked(path)
    return read_result(path, weights_sha256=about["weights_sha256"])


def likelihood(run: Path, training: Result, about: Facts, bound: str) -> Facts | None:
    """Bits/dim, its bound and its images: of test images, else of validation images, else None."""
    path = run / "likelihood.json"
    if path.exists():
        tested = read(path, about)
        values = {key: tested.value(key) for key in ("bits_per_dim", "bound", "images")}
        return {**values, "split": "test"}
    bits = training.content.get("val_bits_per_dim")
    values = {"bits_per_dim": bits, "bound": bound, "images": about["data"]["counts"]["val"], "split": "val"}
    return values if bits is not None else None


def quality(run: Path, about: Facts) -> list[Facts]:
    """FID and KID at each temperature of one protocol, with its counts."""

    def rank(folder: Path) -> tuple[bool, int]:
        return folder.name.startswith("test-"), len(list(folder.glob("*.json")))

    chosen = sorted(run.glob("metrics/*"), key=rank)[-1:]
    results = [read(path, about) for folder in chosen for path in folder.glob("*.json")]
    rows = [{key: result.value(key) for key in QUALITY} for result in results]
    return sorted(rows, key=lambda row: row["temperature"])


@cli.step
def main(run: Path, name: str, *, file: Path | None = None) -> None:
    """Release a model.

    Args:
        run: the folder of the run: model.safetensors, training.json, likelihood.json and metrics/ where there are any
        name: DATASET/MODEL; an entry of this name is replaced
        file: a copy of the run's weights in the repository: no other file is written
    """
    release(run, name, file)
