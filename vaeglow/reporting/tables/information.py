"""What the latent holds when a model is trained in two phases, jointly, or both (section 3.4)."""

from collections.abc import Sequence

from vaeglow.reporting.columns import RANGE, Column, in_order, names_of, only, same, seed_mean
from vaeglow.reporting.frame import PROTOCOL, Lines

READS = ("training", "likelihood", "latents", "metrics")
SCHEMA = {**PROTOCOL, "rows": {"$ref": "#/$defs/several_temperatures_rows"}}
SHOWN = """
    model bits_per_dim kl_bits_per_dim kl_nats active_units information_lower_nats decoder_information_lower_nats
    variance_explained entropy_x_bar_bits_per_dim entropy_image_bits_per_dim fid_t* kid_t* dataset epochs
"""
CAP = seed_mean("latents.information_cap_nats", 2)


def columns_of(rows: Sequence[Lines]) -> list[Column]:
    """The columns: FID, KID and diversity at every temperature of the rows."""
    decimals = 0 if rows[0]["seed"].nunique() == 1 else 1  # a whole number, except as a mean over seeds
    columns = [
        seed_mean("latents.kl_bits_per_dim", 3, "KL (bits/dim)"),
        seed_mean("latents.kl_nats", 2, "KL (nats)"),
        seed_mean("latents.active_units", decimals, "Active units", beside=("{} of {}", "latent_dim")),
        seed_mean("latents.information_lower_nats", 2, "I(x;z) (nats)", beside=(RANGE, "information_upper_nats")),
        seed_mean("latents.information_upper_nats", 2),
        CAP,
        seed_mean(
            "latents.decoder_information_lower_nats",
            2,
            "I(x_bar;z) (nats)",
            beside=(RANGE, "decoder_information_upper_nats"),
        ),
        seed_mean("latents.decoder_information_upper_nats", 2),
        seed_mean("latents.variance_explained", 3, "Variance explained"),
        seed_mean("latents.entropy_x_bar_bits_per_dim", 3, "Entropy of x_bar given z (bits/dim)"),
        seed_mean("latents.entropy_image_bits_per_dim", 3, "Entropy of x given z (bits/dim)"),
        seed_mean("latents.layer_log_det_bits_per_dim", 3),
    ]
    for temperature in sorted({float(temperature) for lines in rows for temperature in lines["temperature"]}):
        for column in (
            seed_mean("metrics.fid", 2, f"FID, T={temperature}"),
            seed_mean("metrics.kid", 5, f"KID, T={temperature}", null=True),
            seed_mean("metrics.diversity", 3, null=True),
        ):
            columns.append(only(column, "temperature", temperature, name=f"{column.name}_t{temperature}"))
    varying = [column for column in columns if column is not CAP]
    return in_order(
        f"""
    model bits_per_dim bound source dataset preset {names_of(columns)} bits_per_dim_sd {names_of(varying, "_sd")}
    epochs train_seconds train_cpu_seconds seeds latent_dim latent_images exploded_samples
    bits_per_dim_standard_error likelihood_images dequantisation parameters protocol device commit run origin
    """,
        *columns,
        same("latents.latent_dim"),
        same("latents.images", name="latent_images"),
    )
