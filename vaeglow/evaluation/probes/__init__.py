"""Kinds of probes: measurements on a trained run, for tables, figures and claims; declared here, a module each.

The module has the kind's name and `measure(run, reads, settings)`: the values and the arrays of its result, from the
`TrainedRun`, the path of each input, and the entry in config with `batch_size`. UserError for a model of another kind,
other data, too few images, or a value that is not finite. It is imported when it measures: no torch here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from vaeglow.config.keys import Schema, count

Reads = Mapping[str, Path]  # input -> its file
Measured = tuple[dict, dict | None]  # the values of a result, and its arrays


class Probe(NamedTuple):
    """A kind of probe.

    Attributes:
        reads: its inputs: keys of `vaeglow.paths.RESULTS`, splits of the data, `weights` for the Inception weights.
        result: the path of its result in the run's folder; arrays of a JSON are in an npz beside it.
        SCHEMA: the keys of its entry in the config's `probes`.
    """

    reads: tuple[str, ...]
    result: str
    SCHEMA: Schema


# Of `distance_source`: where a latent comes from, and what is made of it.
LATENTS, IMAGES = ("prior", "posterior"), ("mean", "layer")
KINDS = {
    "distance_source": Probe(
        ("model", "train", "reference", "weights"), "distance_source/{protocol}/T{temperature}.json", {}
    ),
    "interpolation": Probe(
        ("model",),
        "interpolation/{space}.npz",
        {
            "pairs": count("pairs of random latents"),
            "steps": count("images from one end to the other, ends included", 2),
            "shown": count("pairs whose images are kept for Figure 5"),
        },
    ),
    "latents": Probe(
        ("model", "test"),
        "latents.json",
        {"images": count("number of test images, the first (at most all); its logarithm caps the information", 2)},
    ),
    "layer_action": Probe(
        ("model", "test"),
        "layer_action.json",
        {
            "images": count("latents drawn from the prior", 2),
            "draws": count("draws of the Glow layer from each latent", 2),
            "temperature": {"$ref": "#/$defs/temperature", "description": "of the decoder's noise under the layer"},
            "shown": count("number of latents whose images are kept, in `layer_action.npz`, for Figure 4"),
        },
    ),
    "linear_reference": Probe(
        ("model", "train", "test"),
        "linear_reference.json",
        {
            "images": count(
                "number of test images (at most all), spread over the split: what a linear layer could reach on a "
                "VAE's residual ([docs/squeeze.md](../docs/squeeze.md))"
            )
        },
    ),
    "nearest_training": Probe(
        ("model", "samples", "train", "test", "weights"),
        "nearest_training/T{temperature}.npz",
        {
            "samples": count("number of a run's first samples whose distance to training images is measured"),
            "test_images": count("number of test images (at most all), spread over the split, measured the same way"),
            "training_images": count("training images that are searched, spread over all; `null`: all of the run")
            | {"type": ["integer", "null"]},
            "features": {"$ref": "#/$defs/features", "description": "the Inception layer of the distances"},
            "neighbours": count("nearest training images kept for each sample"),
            "shown": count("number of samples whose neighbours are kept, for the figure"),
        },
    ),
    "noise_maps": Probe(
        ("model", "test"),
        "noise_maps.npz",
        {
            "shown": count("number of test images whose noise maps are kept"),
            "images": count("number of test images, the first (at most all), for the correlation of noise and error"),
        },
    ),
}
