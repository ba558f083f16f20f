"""What the latent holds when a model is trained in two phases, jointly, or both (section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vaeglow.reporting.columns import RANGE, Column, mean, named, only, same

if TYPE_CHECKING:
    import pandas as pd

READS = ("training", "likelihood", "latents", "metrics")
SCHEMA = {
    "protocol": {"$ref": "#/$defs/protocol_name", "default": None},
    "rows": {"$ref": "#/$defs/several_temperatures_rows"},
}
SAMPLES = {"fid": (2, "FID"), "kid": (5, "KID"), "diversity": (3, "")}  # decimals, header


def columns_of(spec: Mapping[str, Any], rows: Sequence[pd.DataFrame]) -> list[Column]:
    """The columns: FID, KID and diversity at every temperature of the rows."""
    upper = (RANGE, "decoder_information_upper_nats")
    whole = len(spec["seeds"]) == 1  # a whole number, except as a mean over seeds
    found = [
        mean("latents.kl_bits_per_dim", 3, "KL (bits/dim)"),
        mean("latents.kl_nats", 2, "KL (nats)"),
        mean("latents.active_units", 0 if whole else 1, "Active units", beside=("{} of {}", "latent_dim")),
        mean("latents.information_lower_nats", 2, "I(x;z) (nats)", beside=(RANGE, "information_upper_nats")),
        mean("latents.information_upper_nats", 2),
        mean("latents.information_cap_nats", 2),
        mean("latents.decoder_information_lower_nats", 2, "I(x_bar;z) (nats)", beside=upper),
        mean("latents.decoder_information_upper_nats", 2),
        mean("latents.variance_explained", 3, "Variance explained"),
        mean("latents.entropy_x_bar_bits_per_dim", 3, "Entropy of x_bar given z (bits/dim)"),
        mean("latents.entropy_image_bits_per_dim", 3, "Entropy of x given z (bits/dim)"),
        mean("latents.layer_log_det_bits_per_dim", 3),
    ]
    for t in sorted({float(temperature) for row in spec["rows"] for temperature in row["temperatures"]}):
        for name, (decimals, header) in SAMPLES.items():
            column = mean(f"metrics.{name}", decimals, f"{header}, T={t}" if header else "", null=name != "fid")
            found.append(only(column, "temperature", t, name=f"{name}_t{t}"))
    spreads = (f"{column.name}_sd" for column in found if column.name != "information_cap_nats")
    names = f"""
    model bits_per_dim bound {" ".join(column.name for column in found)} bits_per_dim_sd {" ".join(spreads)}
    source dataset preset epochs train_seconds train_cpu_seconds seeds latent_dim latent_images exploded_samples
    bits_per_dim_standard_error likelihood_images dequantisation parameters protocol device commit run origin
    """
    return named(names, *found, same("latents.latent_dim"), same("latents.images", name="latent_images"))


def shown(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """What z holds, then FID and KID side by side for the temperatures."""
    samples = (name for name in table if name.startswith(("fid_t", "kid_t")) and not name.endswith("_sd"))
    return f"""
    model bits_per_dim kl_bits_per_dim kl_nats active_units information_lower_nats decoder_information_lower_nats
    variance_explained entropy_x_bar_bits_per_dim entropy_image_bits_per_dim {" ".join(sorted(samples))} dataset epochs
    """.split()


NOTES = """
{DEMO}
{FID}
- [overflowed] {overflowed}
{BITS}
- KL, active units and I(x;z): {latent_images} test images; all else: as many draws of z from the prior. KL is the
  one-sample mean of log q(z|y) - log p(z); its bits/dim are part of the bound.
- I(x;z): a lower and an upper estimate of what z tells of the image. The lower one cannot exceed {information_cap_nats}
  nats, the log of the number of images: near that cap it says only `at least`. The upper one is the KL.
- I(x_bar;z): the same for draws of the model, z from the prior: the mean divergence of p(x_bar|z) from p(x_bar). The
  lower has the same cap, the upper is too high by up to about half a nat a latent.
- Variance explained: share of the variance of x_bar that the decoder's mean accounts for, the rest being its noise. It
  depends on how f scales x_bar, which I(x_bar;z) does not.
- Entropies: of the decoder's Gaussian (x_bar), and of the image it becomes through f^-1 (x), both given z; they differ
  by the layer's log-determinant (in the CSV). The more the layer draws by itself, the higher the second.
{SEEDS}
- Trained on: {device}; commit {commit}.
"""
