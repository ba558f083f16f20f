"""What each kind of table, figure and claim reads of every row, and its keys in config beside those that all have.

A class stands for a module of its kind. No torch, no pandas, no matplotlib: planning reads this.
"""

from __future__ import annotations

from typing import Any, ClassVar

DEFS = "#/$defs/"
PROTOCOL: dict[str, Any] = {"protocol": {"$ref": f"{DEFS}protocol_name", "default": None}}


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
