"""Where the distance to real images comes from: the prior or the posterior, the decoder's mean or the layer."""

from vaeglow.evaluation.probes import IMAGES, LATENTS
from vaeglow.reporting.columns import Column, mean, named, same

READS = ("training", "distance_source")
SCHEMA = {
    "protocol": {"$ref": "#/$defs/protocol_name", "default": None},
    "rows": {"$ref": "#/$defs/drawn_rows"},
}
WORDS = {"prior": "z of the prior", "posterior": "z of training images", "mean": "mean", "layer": "layer"}


def of_sets(measure: str, decimals: int) -> list[Column]:
    """A column of FID or KID for each of the four sets."""
    columns = []
    for source in LATENTS:
        for image in IMAGES:
            of = f"{source}_{image}"
            header = f"{measure.upper()}: {WORDS[source]}, {WORDS[image]}"
            columns.append(mean(f"distance_source.{of}.{measure}", decimals, header, name=f"{measure}_{of}"))
    return columns


SETS = [*of_sets("fid", 2), *of_sets("kid", 5)]
COLUMNS = named(
    f"""
    model {" ".join(column.name for column in SETS)} temperature epochs fid_samples source dataset preset seeds
    {" ".join(f"{column.name}_sd" for column in SETS)}
    protocol fid_reference_images fid_features fid_split device commit run origin
    """,
    *SETS,
    *(same(f"distance_source.{name}") for name in ("fid_samples", "fid_reference_images", "fid_features", "protocol")),
    same("distance_source.split", name="fid_split"),
)
SHOWN = f"model dataset epochs {' '.join(column.name for column in SETS)} seeds"
