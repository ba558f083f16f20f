"""Trained models by name (docs/models.md): the list of them, and where the file of each is. No torch.

A file is that of the clone, else one from the user's cache, else it is fetched into that; its hash is checked first.
"""

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from vaeglow.config import nearest, read_layer
from vaeglow.data.sources import PinnedFile, Unavailable, get
from vaeglow.errors import UserError
from vaeglow.files import AnyPath, Facts, explain_os_error
from vaeglow.paths import shipped

LIST = "resources/models/models.yaml"  # it and the paths in it are `shipped`
ADDRESS = "VAEGLOW_MODELS"  # environment: a folder or URL that has the files, in place of the list's `release`
SUFFIX = ".safetensors"


def read_list() -> Facts:
    """The list: `release`, an address or None, `licence` of the weights, `data` by dataset, `models` by name."""
    return read_layer(shipped(LIST))


def asset(name: str) -> str:
    """The name of a model's file where there are no folders: in a release, in the cache."""
    return name.replace("/", "-") + SUFFIX


def locate(model: AnyPath) -> Path:
    """The file of a trained model; its hash is right where the list names it.

    Args:
        model: a name in the list. What exists or ends in `.safetensors` is a path, and is returned as it is.

    Raises:
        UserError: no such name; the file is another one, or is nowhere to be had; no right to write to the cache.
    """
    path = Path(model)
    if path.suffix == SUFFIX or path.exists():
        return path
    name = path.as_posix()
    listed = read_list()
    models = listed["models"]
    if name not in models:
        close = nearest(name, models)
        raise UserError(f"{name} does not exist, nor is it a trained model's name{close}: `vaeglow models` lists them")
    entry = models[name]
    file = PinnedFile(asset(name), entry["sha256"], entry["bytes"])
    cache = user_cache_path("vaeglow") / "models"
    with suppress(Unavailable):
        return get(str(shipped(entry["path"])), file, cache)
    cached = cache / file.name
    if cached.is_file() and not file.mismatch(cached):
        return cached
    address = os.getenv(ADDRESS) or listed["release"]
    if not address:
        raise UserError(f"model {name}: {file.name} is not here: set {ADDRESS} to a folder or URL that has it")
    try:
        with FileLock(cache.with_suffix(".lock")):  # no other process fetches a model
            return get(address, file, cache)
    except Unavailable as error:
        raise UserError(f"model {name}: {error}: set {ADDRESS} to a folder or URL that has {file.name}") from None
    except OSError as error:
        raise explain_os_error(error, error.filename or cache) from error


def locate_weights(model: AnyPath) -> Path:
    """The same; UserError for a file of another kind."""
    path = locate(model)
    if path.suffix != SUFFIX:
        raise UserError(f"{path} is not a trained model: give a model.safetensors, or a name of `vaeglow models`")
    return path
