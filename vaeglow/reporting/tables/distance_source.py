"""Where the distance to real images comes from: the prior or the posterior, the decoder's mean or the layer."""

from itertools import product

from vaeglow.evaluation.probes import IMAGES, LATENTS
from vaeglow.reporting.columns import in_order, names_of, same, seed_mean
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL

READS = ("training", "distance_source")
SCHEMA = PROTOCOL | DRAWN_ROWS
WORDS = {"prior": "z of the prior", "posterior": "z of training images", "mean": "mean", "layer": "layer"}
FACTS = """
    distance_source.fid_samples distance_source.fid_reference_images distance_source.fid_features
    distance_source.protocol
"""
SETS = []  # FID and KID of each of the four sets
for (measure, decimals), latents, images in product((("fid", 2), ("kid", 5)), LATENTS, IMAGES):
    samples = f"{latents}_{images}"
    header = f"{measure.upper()}: {WORDS[latents]}, {WORDS[images]}"
    SETS.append(seed_mean(f"distance_source.{samples}.{measure}", decimals, header, name=f"{measure}_{samples}"))
COLUMNS = in_order(
    f"""
    model {names_of(SETS)} temperature epochs fid_samples source dataset preset seeds {names_of(SETS, "_sd")}
    protocol fid_reference_images fid_features fid_split device commit run origin
    """,
    *SETS,
    *map(same, FACTS.split()),
    same("distance_source.split", name="fid_split"),
)
SHOWN = f"model dataset epochs {names_of(SETS)} seeds"
