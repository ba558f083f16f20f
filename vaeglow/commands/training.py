"""Command `train`: a model of a folder of images."""

from pathlib import Path

from vaeglow.data import folder as folders
from vaeglow.errors import UserError
from vaeglow.files import atomic_path

MODEL = Path("model.safetensors")


def train(
    images: Path,
    *,
    model: str = "vaeglow",
    preset: str = "demo",
    seed: int = 0,
    size: int = 32,
    epochs: int = 0,
    device: str = "auto",
    folder: str = "",
    output: Path = MODEL,
) -> None:
    """Train a model on a folder of images, as vaeglow.train does.

    Args:
        images: a folder of images, at any depth; all train, as grey ones if all are grey
        model: its name in the config (vaeglow)
        preset: how large the networks are and how long they train (demo)
        seed: of weights, order and noise (0)
        size: the side to which images are cropped and resized (32)
        epochs: of each phase (the preset's, for thousands of images: a few hundred need more)
        folder: for data, weights and resume state; the same command then resumes
        output: a new .safetensors file (model.safetensors)
    """
    from vaeglow import api

    if output.suffix != ".safetensors" or output.exists():
        raise UserError(f"--output {output}: name a new file, such as {output.stem}_2.safetensors")
    array = folders.read_whole(images, size)
    if (array == array[:, :1]).all():
        array = array[:, :1]  # grey
    longer = {"training": {"epochs": epochs}} if epochs else {}
    with atomic_path(output) as temporary:
        temporary.touch()  # a place that cannot be written is known before the training
        trained = api.train(array, model, preset, seed, folder, device, **longer)
        trained.save(temporary)
    print(f"{output}: {trained}")
