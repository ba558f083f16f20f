"""What the latent holds when a model is trained in two phases, jointly, or both (section 3.4)."""

from collections.abc import Sequence

from vaeglow.reporting.columns import RANGE, Column, mean, named, only, same
from vaeglow.reporting.frame import Lines, Spec

READS = ("training", "likelihood", "latents", "metrics")
SCHEMA = {
    "protocol": {"$ref": "#/$defs/protocol_name", "default": None},
    "rows": {"$ref": "#/$defs/several_temperatures_rows"},
}
SAMPLES = {"fid": (2, "FID"), "kid": (5, "KID"), "diversity": (3, "")}  # decimals, header


def columns_of(spec: Spec, rows: Sequence[Lines]) -> list[Column]:
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
    model bits_per_dim bound source dataset preset
    {" ".join(column.name for column in found)} bits_per_dim_sd {" ".join(spreads)}
    epochs train_seconds train_cpu_seconds seeds latent_dim latent_images exploded_samples
    bits_per_dim_standard_error likelihood_images dequantisation parameters protocol device commit run origin
    """
    return named(names, *found, same("latents.latent_dim"), same("latents.images", name="latent_images"))


def shown(table: Lines, spec: Spec) -> list[str]:
    """What z holds, then FID and KID side by side for the temperatures."""
    columns = table.attrs["columns"]
    samples = (name for name in columns if name.startswith(("fid_t", "kid_t")) and columns[name].header)
    return f"""
    model bits_per_dim kl_bits_per_dim kl_nats active_units information_lower_nats decoder_information_lower_nats
    variance_explained entropy_x_bar_bits_per_dim entropy_image_bits_per_dim {" ".join(sorted(samples))} dataset epochs
    """.split()
