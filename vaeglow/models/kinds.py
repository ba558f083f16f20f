"""The kinds of model, a class each: what the config, the planning and training know of them. No torch when imported.

A kind is declared here, with its keys in config (`SCHEMA`, in the words of `vaeglow.config.keys`); it is built by the
module of `vaeglow.models` that is named like it: `build(config)` makes the untrained `GenerativeModel` of a resolved
config.
"""

from typing import ClassVar

from vaeglow.config.keys import choice, count, group, key, positive
from vaeglow.files import Config

Refusal = str | None  # words after a name; None: it is fine


def unit(objective: str) -> str:
    """How a `Kind.OBJECTIVE` is printed: `bits/dim`, `quantile loss`."""
    return objective.replace("_per_", "/").replace("_", " ")


class Kind:
    """A kind of model; the first line of its docstring describes it in config/README.md, `SCHEMA` its own keys.

    Attributes:
        KL_FREE: why `training.kl_weight` cannot act on the kind; empty where it does.
        OBJECTIVE: what training reports: bits/dim, or the loss of a kind without a likelihood.
        TEMPERATURE: whether samples have one; else they are drawn at 1 only, and tables show none.
        PROBES: what it has of the results (keys of `vaeglow.paths.RESULTS`) that only some kinds have.
        RULES: the workflow's rule that trains it, by its `mode`, None for a kind without modes. For a new kind
            `train_baseline`, or `train_glow_layer` on a trained base, is enough.
    """

    KL_FREE = ""
    OBJECTIVE = "bits_per_dim"
    TEMPERATURE = True
    PROBES = ()
    RULES: ClassVar = {None: "train_baseline"}

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> Refusal:
        """Why a model with this config cannot take C x side x side images, as words after its name; None if it can."""
        return None

    @staticmethod
    def wrong_base(config: Config, base: Config) -> Refusal:
        """Why a model with this config cannot use that base, as words after the base's name; None if it can."""
        return None if base["kind"] == "vae" else f"is a {base['kind']}, not a vae"


class vae(Kind):
    """A variational autoencoder with its prior, networks of Dai & Wipf (2019)."""

    PROBES = ("latents", "interpolation", "noise_maps", "linear_reference")
    RULES: ClassVar = {None: "train_vae"}
    SCHEMA: ClassVar = {
        "network": group(
            architecture=choice(
                "`resnet` needs a side that is a power of two, `infogan` a multiple of 4 (such as 28)",
                "resnet",
                "infogan",
            ),
            num_scale=count("scales of the ResNet's encoder (the paper's \"depth\"); `infogan` ignores it"),
            base_dim=count("channels at the first scale; doubled at each"),
            fc_dim=count(
                "width of the dense block (`resnet`; 512 in the source) or of the first dense layer (`infogan`; 1024)"
            ),
            latent_dim=count("size of the latent vector", minimum=2),
            decoder_noise=choice(
                "`diagonal`: one standard deviation for each pixel and channel; `isotropic`: one for all; `fixed`: one "
                "that is not learned",
                "diagonal",
                "isotropic",
                "fixed",
            ),
            initial_noise=positive(
                "standard deviation of the noise at the start (for `fixed` noise: always); 1 in the source, smaller if "
                "a run has few steps"
            ),
            batch_norm_momentum=positive("PyTorch's convention: the share of the newest batch", maximum=1),
        ),
        "prior": {
            **group(
                kind=choice("`flow` (learned) or `standard` (standard normal)", "flow", "standard"),
                layers=count("coupling layers of the flow; needed with `flow`", default=None),
                width=count("width of their networks; needed with `flow`", default=None),
            ),
            "if": {"required": ["kind"], "properties": {"kind": {"const": "flow"}}},
            "then": {"required": ["layers", "width"]},
        },
    }

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> Refusal:
        """The ResNet halves and doubles the side, Infogan a quarter of it twice."""
        network = config["network"]
        if network["architecture"] == "infogan":
            return "needs a side that is a multiple of 4 for its Infogan nets" if side % 4 else None
        if side < 4 or side & (side - 1):
            return "needs a side that is a power of two, 4 or more, for its ResNet"
        if side % 2 ** (network["num_scale"] - 1):
            return f"needs a larger side for num_scale {network['num_scale']}"
        return None


class vae_glow(Kind):
    """A Glow layer on a VAE, the paper's model."""

    PROBES = ("latents", "layer_action", "layer_images", "interpolation", "noise_maps", "distance_source")
    RULES: ClassVar = {"frozen": "train_glow_layer", "joint": "train_joint", "finetune": "train_glow_layer"}
    SCHEMA: ClassVar = {
        "base": key(
            "the VAE that is trained first and then frozen. With mode `joint` only its architecture is used; with "
            "`finetune` it is a `vae_glow` of mode `frozen`",
            type="string",
        ),
        "mode": choice(
            "`frozen`: the paper's two phases; this run trains the layer. `joint`: VAE, prior and layer are trained "
            "together from the start. `finetune`: the whole trained `base` is trained further; the layer must be that "
            "of the base, so write `like` with the base's name",
            "frozen",
            "joint",
            "finetune",
        ),
        "layer": group(
            squeeze=choice("1 (none), 2 or 4: one space-to-depth around the layer", 1, 2, 4),
            depth=count("steps of flow"),
            width=count("channels of their coupling networks"),
            affine_steps=count(
                "number of steps at the end of each level that have affine couplings; the paper's couplings are "
                "additive",
                minimum=0,
            ),
            levels=count("number of levels; after each except the last, half of the channels leave, as in Glow"),
            noise_head=key("learn the decoder's noise again, from the decoder's last features", type="boolean"),
        ),
    }

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> Refusal:
        """The squeeze divides the side, and a coupling has two channels or more."""
        squeeze = config["layer"]["squeeze"]
        levels = config["layer"]["levels"]
        if side % (squeeze * 2 ** (levels - 1)):
            return f"has squeeze {squeeze} and {levels} level{'s' * (levels > 1)}, which do not divide the side"
        if channels * squeeze**2 < 2:
            return "cannot split one channel in two: use a model with layer.squeeze 2 or 4"
        return None

    @staticmethod
    def wrong_base(config: Config, base: Config) -> Refusal:
        """A VAE; for `finetune` a model of the same layer that was trained in two phases."""
        if config["mode"] != "finetune":
            return Kind.wrong_base(config, base)
        if base["kind"] != "vae_glow":
            return f"is a {base['kind']}, not a vae_glow"
        if base["mode"] != "frozen":
            return f"has mode {base['mode']}; a finetune continues a run trained in two phases: name one of mode frozen"
        if config["layer"] != base["layer"]:
            return (
                f"has another layer, {base['layer']}, than the model's {config['layer']}; a finetune continues to "
                f"train its base's: write `like: {config['base']}`, change no layer key"
            )
        return None


class vae_two_stage(Kind):
    """A second VAE that learns the latents of a trained one (Dai & Wipf 2019)."""

    KL_FREE = "trains the KL alone"
    RULES: ClassVar = {None: "train_two_stage"}
    SCHEMA: ClassVar = {
        "base": key("the first-stage VAE, a `vae` with a `standard` prior", type="string"),
        "second_stage": group(
            width=count("units of the dense layers in the encoder and the decoder of the second stage"),
            depth=count("number of those layers"),
        ),
    }

    @staticmethod
    def wrong_base(config: Config, base: Config) -> Refusal:
        """A VAE with the prior N(0, I)."""
        if base["kind"] != "vae" or base["prior"]["kind"] == "standard":
            return Kind.wrong_base(config, base)
        return f"has prior.kind {base['prior']['kind']}; a second stage replaces a standard prior: name a VAE with that"


class glow(Kind):
    """Glow (Kingma & Dhariwal 2018), the baseline."""

    FULL_SIZE = 0  # levels before the side is first halved
    KL_FREE = "has no KL"
    SCHEMA: ClassVar = {
        "network": group(
            levels=count(
                "number of levels; the first has half the side of the image, each other half the side of the one before"
            ),
            depth=count("steps per level"),
            width=count("channels of the coupling networks"),
            coupling=choice(
                "`affine` or `additive` coupling layers, or `bounded`: affine ones with the scale of the layer's "
                "(docs/beyond.md)",
                "affine",
                "additive",
                "bounded",
            ),
        )
    }

    @classmethod
    def wrong_images(cls, config: Config, channels: int, side: int) -> Refusal:
        """Each level halves the side, but for the first `FULL_SIZE`."""
        levels = config["network"]["levels"]
        if side % 2 ** (levels - cls.FULL_SIZE):
            return f"has {levels} levels, which do not divide the side"
        return None


PIXEL_NETWORK = {
    "depth": count("gated layers"),
    "width": count("their features"),
    "kernel": choice("side of their convolutions", 3, 5, 7),
    "head_width": count("features before the softmax; in `pixeliqn` for each channel"),
}


class pixelcnn(Kind):
    """A Gated PixelCNN (van den Oord et al. 2016), a baseline."""

    KL_FREE = "has no KL"
    TEMPERATURE = False
    SCHEMA: ClassVar = {"network": group(**PIXEL_NETWORK)}

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> Refusal:
        """Each channel of a pixel has features of its own."""
        width = min(config["network"]["width"], config["network"]["head_width"])
        return None if width >= channels else f"has {width} features, fewer than channels"


class pixeliqn(pixelcnn):
    """PixelIQN (Ostrovski, Dabney & Munos 2018), a baseline without a likelihood."""

    OBJECTIVE = "quantile_loss"
    SCHEMA: ClassVar = {
        "network": group(
            **PIXEL_NETWORK,
            cosines=count("number of cosines in the embedding of the quantile level"),
            huber=positive("the quantile loss is quadratic for errors smaller than this (pixels are in [0, 1))"),
        )
    }


class residual_flow(glow):
    """A Residual Flow (Chen et al. 2019), a baseline."""

    FULL_SIZE = 1
    SCHEMA: ClassVar = {
        "network": group(
            levels=count("number of levels; each except the first has half the side of the one before"),
            depth=count("residual blocks per level"),
            width=count("their hidden channels"),
        )
    }
