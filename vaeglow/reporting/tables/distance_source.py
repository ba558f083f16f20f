"""Where the distance to real images comes from: the prior or the posterior, the decoder's mean or the layer."""

from itertools import product

from vaeglow.evaluation.probes import IMAGES, LATENTS
from vaeglow.reporting.columns import Column, in_order, names_of, same, seed_mean
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL

READS = ("training", "distance_source")
SCHEMA = PROTOCOL | DRAWN_ROWS
WORDS = {"prior": "z of the prior", "posterior": "z of training images", "mean": "mean", "layer": "layer"}


def of_sets(measure: str, decimals: int) -> list[Column]:
    """A column of FID or KID for each of the four sets."""
    columns = []
    for latents, images in product(LATENTS, IMAGES):
        samples = f"{latents}_{images}"
        header = f"{measure.upper()}: {WORDS[latents]}, {WORDS[images]}"
        source = f"distance_source.{samples}.{measure}"
        columns.append(seed_mean(source, decimals, header, name=f"{measure}_{samples}"))
    return columns


SETS = of_sets("fid", 2) + of_sets("kid", 5)
COLUMNS = in_order(
    f"""
    model {names_of(SETS)} temperature epochs fid_samples source dataset preset seeds {names_of(SETS, "_sd")}
    protocol fid_reference_images fid_features fid_split device commit run origin
    """,
    *SETS,
    same("distance_source.fid_samples"),
    same("distance_source.fid_reference_images"),
    same("distance_source.fid_features"),
    same("distance_source.protocol"),
    same("distance_source.split", name="fid_split"),
)
SHOWN = f"model dataset epochs {names_of(SETS)} seeds"
