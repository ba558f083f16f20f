"""What each kind of figure reads of every row, and its keys in config beside those that all have.

A class stands for a module of its kind. No torch, no pandas, no matplotlib: planning reads this.
"""

from __future__ import annotations

from typing import Any, ClassVar

DEFS = "#/$defs/"
PROTOCOL: dict[str, Any] = {"protocol": {"$ref": f"{DEFS}protocol_name", "default": None}}
PUBLISHED: dict[str, Any] = {"published": {"$ref": f"{DEFS}published_name"}}
PLAIN_ROWS = {"rows": {"$ref": f"{DEFS}plain_rows"}}
DRAWN_ROWS = {"rows": {"$ref": f"{DEFS}drawn_rows"}}
AT_ONE = {"rows": {"$ref": f"{DEFS}one_temperature_rows"}}
REFERENCE = {"reference_model": {"type": "string", "description": "the VAE whose residual is analysed"}}
LINES = {"lines": {"$ref": f"{DEFS}count", "description": "lines of images"}}
COLUMNS = {
    "columns": {
        "$ref": f"{DEFS}count",
        "description": "images across. Every run on the dataset draws at least as many images as a figure shows",
    }
}


class figures:
    """Kinds of figure."""

    class sample_sheet:
        """Images drawn, a block of lines each row."""

        READS = ("samples",)
        SCHEMA: ClassVar[dict[str, Any]] = {
            **COLUMNS,
            "lines_per_row": {"$ref": f"{DEFS}count", "description": "lines of images to each row"},
            "rows": {"$ref": f"{DEFS}image_rows"},
        }

    class side_by_side:
        """Images drawn, the rows beside each other."""

        READS = ("samples",)
        SCHEMA: ClassVar[dict[str, Any]] = {**COLUMNS, **LINES, **AT_ONE}

    class overview:
        """The model with its shapes."""

        READS = ("config", "training")
        SCHEMA: ClassVar[dict[str, Any]] = PLAIN_ROWS

    class sharpening:
        """The VAE's sample and the Glow layer's draws of the same latent."""

        READS = ("layer_draws",)
        SCHEMA: ClassVar[dict[str, Any]] = {**LINES, **PLAIN_ROWS}

    class interpolation:
        """Images between random latents."""

        READS = ("interpolation",)
        SCHEMA: ClassVar[dict[str, Any]] = {"space": {"$ref": f"{DEFS}space"}, **LINES, **PLAIN_ROWS}

    class temperature:
        """FID, KID, recall and diversity against temperature."""

        READS = ("metrics",)
        SCHEMA: ClassVar[dict[str, Any]] = {**PROTOCOL, **DRAWN_ROWS}

    class quality_time:
        """Quality against training time."""

        READS = ("snapshots", "config")
        SCHEMA: ClassVar[dict[str, Any]] = {**PROTOCOL, **DRAWN_ROWS}

    class linear_reference:
        """What a linear layer could reach; see docs/squeeze.md."""

        READS = ("likelihood", "config")
        SCHEMA: ClassVar[dict[str, Any]] = {**REFERENCE, **PLAIN_ROWS}

    class noise_maps:
        """The decoder's s(z) beside mean and image."""

        READS = ("noise_maps",)
        SCHEMA: ClassVar[dict[str, Any]] = {**LINES, **PLAIN_ROWS}

    class spectrum:
        """How sharp: power spectra of VAE, Glow layer and data."""

        READS = ("layer_action",)
        SCHEMA: ClassVar[dict[str, Any]] = PLAIN_ROWS

    class ablation:
        """Bits/dim and FID, a dot a model."""

        READS = ("metrics", "likelihood")
        SCHEMA: ClassVar[dict[str, Any]] = {**PROTOCOL, **DRAWN_ROWS}

    class importance_bound:
        """Bits/dim against the number of draws K."""

        READS = ("likelihood", "likelihood_images")
        SCHEMA: ClassVar[dict[str, Any]] = PLAIN_ROWS

    class nearest_training:
        """Samples beside the training images nearest to them."""

        READS = ("nearest_training",)
        SCHEMA: ClassVar[dict[str, Any]] = {**LINES, **AT_ONE}
