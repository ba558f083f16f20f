"""Command `train`: a model of a folder of images."""

import shutil
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from vaeglow.data import folder as folders
from vaeglow.errors import UserError
from vaeglow.files import atomic_path
from vaeglow.paths import result_path

MODEL = Path("model.safetensors")


def train(
    images: Path,
    *,
    model: str = "vaeglow",
    preset: str = "demo",
    seed: int = 0,
    size: int = 32,
    device: str = "auto",
    folder: Path | None = None,
    output: Path = MODEL,
) -> None:
    """Train a model on a folder of images, as vaeglow.train does.

    Args:
        images: a folder of images, at any depth; all train
        model: its name in the config (vaeglow)
        preset: how large the networks are and how long they train (demo)
        seed: of weights, order and noise (0)
        size: the side to which images are cropped and resized (32)
        folder: for data, weights and resume state; the same command then resumes
        output: a new .safetensors file (model.safetensors)
    """
    from vaeglow import api

    if output.suffix != ".safetensors" or output.exists():
        raise UserError(f"--output {output}: name a new file, such as {output.stem}_2.safetensors")
    array = folders.read_whole(images, size)
    kept = nullcontext(folder) if folder else TemporaryDirectory()
    with kept as root, atomic_path(output) as temporary:
        temporary.touch()  # a place that cannot be written is known before the training
        trained = api.train(array, model, preset, seed, root, device)
        shutil.copyfile(result_path(root, "model", **trained.config), temporary)
    print(f"{output}: {trained}")
