"""What each kind of table, figure and claim reads of every row, and its keys in config beside those that all have.

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


MODEL = {"type": "string"}
ABOVE: dict[str, Any] = {
    "threshold": {"type": "number", "description": "the claim holds if the whole interval lies above it"}
}
TWO_MODELS: dict[str, Any] = {
    "more": {**MODEL, "description": "the model that gains or keeps more by the claim"},
    "less": {**MODEL, "description": "the other"},
    "temperatures": {"$ref": f"{DEFS}temperatures", "minItems": 2, "maxItems": 2, "description": "from, to"},
}
LOOKED_AT: dict[str, Any] = {"model": {**MODEL, "description": "the model looked at"}}
LATENT_VALUES = (
    *("variance_explained", "decoder_information_lower_nats", "decoder_information_upper_nats", "active_units"),
    *("kl_nats", "information_lower_nats", "information_upper_nats"),
    *("entropy_x_bar_bits_per_dim", "entropy_image_bits_per_dim"),
)


class claims:
    """Kinds of claim. What each reads: `vaeglow.reporting.claims.needs`."""

    class kid:
        """Effect: factor x KID of `worse` - KID of `better`."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            **PROTOCOL,
            "better": {"$ref": f"{DEFS}sample_set"},
            "worse": {"$ref": f"{DEFS}sample_set"},
            "factor": {"type": "number", "exclusiveMinimum": 0, "description": "see above"},
            **ABOVE,
        }

    class kid_same:
        """Effect: 1 - KID of `one` / KID of `other`."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            **PROTOCOL,
            "one": {"$ref": f"{DEFS}sample_set"},
            "other": {"$ref": f"{DEFS}sample_set"},
            "margin": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "the claim holds if the whole interval lies below it, and does not if it lies above",
            },
        }

    class kid_best:
        """Effect: least KID at `others` - KID at `temperature`."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            **PROTOCOL,
            **LOOKED_AT,
            "temperature": {"$ref": f"{DEFS}temperature", "description": "the temperature claimed best"},
            "others": {"$ref": f"{DEFS}temperatures", "description": "those it is compared with"},
            **ABOVE,
        }

    class kid_gain:
        """Effect: fall of KID of `more` - fall of KID of `less`."""

        SCHEMA: ClassVar[dict[str, Any]] = {**PROTOCOL, **TWO_MODELS, **ABOVE}

    class kept:
        """Effect: share kept by `more` - share kept by `less`."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            **PROTOCOL,
            "measure": {"enum": ["diversity", "recall"], "description": "`diversity` or `recall`"},
            **TWO_MODELS,
            **ABOVE,
        }

    class quality_time:
        """Effect: KID of `theirs` - KID of `ours`, at the longest time both trained; phases in order."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            **PROTOCOL,
            "ours": {"$ref": f"{DEFS}sample_sets"},
            "theirs": {"$ref": f"{DEFS}sample_sets"},
            **ABOVE,
        }

    class bits:
        """Effect: bits/dim of `worse` - bits/dim of `better`."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            "better": {**MODEL, "description": "a model"},
            "worse": {**MODEL, "description": "a model"},
            "reference_model": {
                **MODEL,
                "default": None,
                "description": "the VAE whose `linear_reference.json` is named as evidence",
            },
            **ABOVE,
        }

    class speed:
        """Effect: time of `slow` / time of `fast` (Table 4)."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            "slow": {"$ref": f"{DEFS}models", "description": "list of models; several phases count by their mean"},
            "fast": {"$ref": f"{DEFS}models", "description": "the same"},
            "networks": {"type": "string", "description": "the preset whose networks are timed"},
            **ABOVE,
        }

    class noise:
        """Effect: mean over images of the rank correlation of s(z) and the error."""

        SCHEMA: ClassVar[dict[str, Any]] = {**LOOKED_AT, **ABOVE}

    class information:
        """Effect: `value` of `higher` - `value` of `lower`, of what the latent holds."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            "higher": {**MODEL, "description": "a model"},
            "lower": {**MODEL, "description": "a model"},
            "value": {"enum": list(LATENT_VALUES), "description": "which value of `latents.json`"},
            **ABOVE,
        }

    class layer:
        """Effect: what f does to an image."""

        SCHEMA: ClassVar[dict[str, Any]] = {
            **LOOKED_AT,
            "value": {"enum": ["sharpness", "content"], "description": "which value of `layer_action.json`"},
            **ABOVE,
        }

    class smooth:
        """Effect: mean step / largest step of an interpolation, in pixels."""

        SCHEMA: ClassVar[dict[str, Any]] = {**LOOKED_AT, "space": {"$ref": f"{DEFS}space"}, **ABOVE}
