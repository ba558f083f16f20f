"""What the latent holds when a model is trained in two phases, jointly, or both (section 3.4)."""

from collections.abc import Sequence

from vaeglow.reporting.columns import RANGE, Column, in_order, names_of, only, same, seed_mean
from vaeglow.reporting.frame import PROTOCOL, Lines, Spec

READS = ("training", "likelihood", "latents", "metrics")
SCHEMA = {**PROTOCOL, "rows": {"$ref": "#/$defs/several_temperatures_rows"}}
UPPER = "information_upper_nats"
CAP = seed_mean("latents.information_cap_nats", 2)
LATENTS = [
    seed_mean("latents.information_lower_nats", 2, "I(x;z) (nats)", beside=(RANGE, UPPER)),
    seed_mean(f"latents.{UPPER}", 2),
    CAP,
    seed_mean("latents.decoder_information_lower_nats", 2, "I(x_bar;z) (nats)", beside=(RANGE, f"decoder_{UPPER}")),
    seed_mean(f"latents.decoder_{UPPER}", 2),
    seed_mean("latents.variance_explained", 3, "Variance explained"),
    seed_mean("latents.entropy_x_bar_bits_per_dim", 3, "Entropy of x_bar given z (bits/dim)"),
    seed_mean("latents.entropy_image_bits_per_dim", 3, "Entropy of x given z (bits/dim)"),
    seed_mean("latents.layer_log_det_bits_per_dim", 3),
]


def columns_of(spec: Spec, rows: Sequence[Lines]) -> list[Column]:
    """The columns: FID, KID and diversity at every temperature of the rows."""
    decimals = 0 if len(spec["seeds"]) == 1 else 1  # a whole number, except as a mean over seeds
    columns = [
        seed_mean("latents.kl_bits_per_dim", 3, "KL (bits/dim)"),
        seed_mean("latents.kl_nats", 2, "KL (nats)"),
        seed_mean("latents.active_units", decimals, "Active units", beside=("{} of {}", "latent_dim")),
        *LATENTS,
    ]
    for temperature in sorted({float(temperature) for row in spec["rows"] for temperature in row["temperatures"]}):
        samples = [
            seed_mean("metrics.fid", 2, f"FID, T={temperature}"),
            seed_mean("metrics.kid", 5, f"KID, T={temperature}", null=True),
            seed_mean("metrics.diversity", 3, null=True),
        ]
        for column in samples:
            columns.append(only(column, "temperature", temperature, name=f"{column.name}_t{temperature}"))
    varying = [column for column in columns if column is not CAP]
    names = f"""
    model bits_per_dim bound source dataset preset {names_of(columns)} bits_per_dim_sd {names_of(varying, "_sd")}
    epochs train_seconds train_cpu_seconds seeds latent_dim latent_images exploded_samples
    bits_per_dim_standard_error likelihood_images dequantisation parameters protocol device commit run origin
    """
    return in_order(names, *columns, same("latents.latent_dim"), same("latents.images", name="latent_images"))


def shown(table: Lines, spec: Spec) -> list[str]:
    """What z holds, then FID and KID side by side for the temperatures."""
    columns = table.attrs["columns"].values()
    samples = [column for column in columns if column.name.startswith(("fid_t", "kid_t")) and column.header]
    return f"""
    model bits_per_dim kl_bits_per_dim kl_nats active_units information_lower_nats decoder_information_lower_nats
    variance_explained entropy_x_bar_bits_per_dim entropy_image_bits_per_dim
    {" ".join(sorted(column.name for column in samples))} dataset epochs
    """.split()
