"""What a linear layer could reach on a VAE's residual: the references that a table and a figure show. No torch."""

from vaeglow.reporting.frame import PLAIN_ROWS, Row
from vaeglow.results import Result

SCHEMA = {
    "reference_model": {"type": "string", "description": "the VAE whose residual is analysed"},
    **PLAIN_ROWS,
}
# Keys of linear_reference.json.
REFERENCES = {
    "no_layer": "no layer",
    "squeeze1": "layer, no squeeze",
    "squeeze2": "layer, squeeze 2",
    "squeeze4": "layer, squeeze 4",
    "whitening": "full whitening",
}


def needs(entry: Row) -> list[Row]:
    """The file of the references."""
    return [
        {
            "what": "linear_reference",
            "preset": entry["preset"],
            "dataset": entry["dataset"],
            "model": entry["reference_model"],
        }
    ]


def reference_of(config: Result) -> str:
    """The reference that applies to a trained model, by its layer's squeeze; none for a Glow."""
    kind = config.value("kind")
    if kind == "vae_glow":
        return f"squeeze{config.value('layer', 'squeeze')}"
    return "no_layer" if kind == "vae" else ""
