"""The keys of each kind of dataset in config, beside those that all have. A class stands for a module; no numpy."""

from __future__ import annotations

from typing import Any, ClassVar

COUNT, MANY = {"type": "integer", "minimum": 1}, {"type": "array", "minItems": 1, "uniqueItems": True}
SPLIT_SEED = {"split_seed": {"type": "integer", "minimum": 0, "default": 0, "description": "seed of the split"}}
HELD_OUT: dict[str, Any] = {
    "val_images": {"type": "integer", "minimum": 0, "default": 0, "description": "training images held out (paper: 0)"},
    **SPLIT_SEED,
}
SOURCES: dict[str, Any] = {
    "local": {
        "$ref": "#/$defs/path_or_null",
        "default": None,
        "description": "the files on this machine: then these and nothing else are used; `null`: `sources`",
    },
    "sources": {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "uniqueItems": True,
        "default": [],
        "description": "paths and URLs (`http`, `https`, `file`), tried in this order; a list in an overlay replaces "
        "this one. Every file is checked by hash, and nothing that is prepared depends on where it came from: see "
        "[docs/data.md](../docs/data.md)",
    },
}


class photos:
    """Crops of real photographs that lie inside the scikit-image and scikit-learn packages, no download."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "pictures": {**MANY, "items": {"type": "string"}, "description": "which photographs"},
        "crop_sides": {
            **MANY,
            "items": COUNT,
            "description": "sides of the square crops, in pixels of the photograph; each crop is resized to `size`",
        },
        "train_images": {
            **COUNT,
            "description": "how many crops train; splits come from disjoint regions of a picture",
        },
        "val_images": {"type": "integer", "minimum": 0, "description": "how many crops validate"},
        "test_images": {**COUNT, "description": "how many crops test"},
        **SPLIT_SEED,
    }


class digits:
    """scikit-learn's handwritten digits, enlarged; grey, no download."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "channels": {"const": 1},
        "val_images": {"type": "integer", "minimum": 0, "description": "how many of the 1,797 validate"},
        "test_images": {**COUNT, "description": "how many test; the rest train"},
        **SPLIT_SEED,
    }


class cifar10:
    """CIFAR-10, 32x32; `local` is a `cifar-10-python.tar.gz`, its folder, or the folder `cifar-10-batches-py`."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "channels": {"const": 3, "default": 3},
        "size": {"const": 32},
        **SOURCES,
        **HELD_OUT,
    }


class fashion_mnist:
    """Fashion-MNIST, 28x28, grey; `local` is a folder with `train-` and `t10k-images-idx3-ubyte.gz`."""

    SCHEMA: ClassVar[dict[str, Any]] = {"channels": {"const": 1}, "size": {"const": 28}, **SOURCES, **HELD_OUT}


class celeba:
    """CelebA's aligned faces, official partition; `local` is an `img_align_celeba.zip`, or its folder, not unpacked."""

    THREADS = 8  # processes that decode images; Snakemake takes fewer where it has fewer cores
    SCHEMA: ClassVar[dict[str, Any]] = {
        "channels": {"const": 3, "default": 3},
        **SOURCES,
        "crop": {
            "enum": [128, 140, 148],
            "default": 128,
            "description": "side of the centred square, 128, 140 or 148, that is shrunk to `size`",
        },
    }


class folder:
    """Your own images; see `examples/own_dataset.yaml`."""

    THREADS = 8
    SCHEMA: ClassVar[dict[str, Any]] = {
        "root": {
            "type": "string",
            "minLength": 1,
            "description": "a folder of images at any depth, or with folders `train/` and `test/` (and perhaps "
            "`val/`). Relative to where you call Snakemake",
        },
        "test_fraction": {
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "default": None,
            "description": "share of the images held out for testing; leave it out with folders `train/` and `test/`",
        },
        "val_fraction": {
            "$ref": "#/$defs/fraction",
            "default": 0,
            "description": "share of the training images held out for validation",
        },
        **SPLIT_SEED,
        "on_broken": {
            "enum": ["error", "skip"],
            "default": "error",
            "description": "a file that cannot be read: `error` or `skip` (named in `dataset.json`)",
        },
    }


class npz:
    """Your own arrays in one file, as `numpy.savez("my_images.npz", train=..., test=...)` writes it."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "file": {
            "type": "string",
            "minLength": 1,
            "description": "its path, relative to where you call Snakemake. It holds `train`, `test` and perhaps "
            "`val`: uint8 `[N, C, size, size]` or `[N, size, size, C]`, grey ones also `[N, size, size]`; other arrays "
            "are ignored. Nothing is unpickled",
        },
        **HELD_OUT,
    }
