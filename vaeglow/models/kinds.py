"""The kinds of model, a class each: what the config, the planning and training know of them. No torch when imported.

A kind is declared here, its keys in config in workflow/schemas/config.schema.yaml; it is built by the module of
`vaeglow.models` that is named like it: `build(config)` makes the untrained `GenerativeModel` of a resolved config.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

Config = Mapping[str, Any]
KINDS: dict[str, "type[Kind]"] = {}  # all that are declared below, by the name that config has for them


def unit(objective: str) -> str:
    """How a `Kind.OBJECTIVE` is printed: `bits/dim`, `quantile loss`."""
    return objective.replace("_per_", "/").replace("_", " ")


class Kind:
    """A kind of model; the first line of its docstring describes it in config/README.md.

    Attributes:
        KL_FREE: why `training.kl_weight` cannot act on the kind; empty where it does.
        OBJECTIVE: what training reports: bits/dim, or the loss of a kind without a likelihood.
        TEMPERATURE: whether samples have one; else they are drawn at 1 only, and tables show none.
        PROBES: which of the probes that only some kinds have (`vaeglow.evaluation.probes`) it has.
        RULES: the workflow's rule that trains it, by its `mode`, None for a kind without modes. For a new kind
            `train_baseline`, or `train_glow_layer` on a trained base, is enough.
    """

    KL_FREE: ClassVar[str] = ""
    OBJECTIVE: ClassVar[str] = "bits_per_dim"
    TEMPERATURE: ClassVar[bool] = True
    PROBES: ClassVar[tuple[str, ...]] = ()
    RULES: ClassVar[dict[str | None, str]] = {None: "train_baseline"}

    def __init_subclass__(cls) -> None:
        """Register the kind."""
        KINDS[cls.__name__] = cls

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> str | None:
        """Why a model with this config cannot take C x side x side images, as words after its name; None if it can."""
        return None

    @staticmethod
    def wrong_base(config: Config, base: Config) -> str | None:
        """Why a model with this config cannot use that base, as words after the base's name; None if it can."""
        return None if base["kind"] == "vae" else f"is a {base['kind']}, not a vae"


class vae(Kind):
    """A variational autoencoder with its prior, networks of Dai & Wipf (2019)."""

    PROBES = ("latents", "interpolation", "noise_maps", "linear_reference")
    RULES: ClassVar = {None: "train_vae"}

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> str | None:
        """The ResNet halves and doubles the side, Infogan a quarter of it twice."""
        network = config["network"]
        if network["architecture"] == "infogan":
            return "needs a side that is a multiple of 4 for its Infogan nets" if side % 4 else None
        if side < 4 or side & (side - 1):
            return "needs a side that is a power of two, 4 or more, for its ResNet"
        halvings = network["num_scale"] - 1
        return f"needs a larger side for num_scale {network['num_scale']}" if side % 2**halvings else None


class vae_glow(Kind):
    """A Glow layer on a VAE, the paper's model."""

    PROBES = ("latents", "layer_action", "layer_images", "interpolation", "noise_maps", "distance_source")
    RULES: ClassVar = {"frozen": "train_glow_layer", "joint": "train_joint", "finetune": "train_glow_layer"}

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> str | None:
        """The squeeze divides the side, and a coupling has two channels or more."""
        squeeze = config["layer"]["squeeze"]
        levels = config["layer"]["levels"]
        if side % (squeeze * 2 ** (levels - 1)):
            return f"has squeeze {squeeze} and {levels} level{'s' * (levels > 1)}, which do not divide the side"
        if channels * squeeze**2 < 2:
            return "cannot split one channel in two: use a model with layer.squeeze 2 or 4"
        return None

    @staticmethod
    def wrong_base(config: Config, base: Config) -> str | None:
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

    @staticmethod
    def wrong_base(config: Config, base: Config) -> str | None:
        """A VAE with the prior N(0, I)."""
        wrong = Kind.wrong_base(config, base)
        if wrong is not None or base["prior"]["kind"] == "standard":
            return wrong
        return f"has prior.kind {base['prior']['kind']}; a second stage replaces a standard prior: name a VAE with that"


class glow(Kind):
    """Glow (Kingma & Dhariwal 2018), the baseline."""

    KL_FREE = "has no KL"

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> str | None:
        """Each level halves the side."""
        levels = config["network"]["levels"]
        return f"has {levels} levels, which do not divide the side" if side % 2**levels else None


class pixelcnn(Kind):
    """A Gated PixelCNN (van den Oord et al. 2016), a baseline."""

    KL_FREE = "has no KL"
    TEMPERATURE = False

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> str | None:
        """Each channel of a pixel has features of its own."""
        width = min(config["network"]["width"], config["network"]["head_width"])
        return None if width >= channels else f"has {width} features, fewer than channels"


class pixeliqn(pixelcnn):
    """PixelIQN (Ostrovski, Dabney & Munos 2018), a baseline without a likelihood."""

    OBJECTIVE = "quantile_loss"


class residual_flow(Kind):
    """A Residual Flow (Chen et al. 2019), a baseline."""

    KL_FREE = "has no KL"

    @staticmethod
    def wrong_images(config: Config, channels: int, side: int) -> str | None:
        """Each level but the first halves the side."""
        levels = config["network"]["levels"]
        return f"has {levels} levels, which do not divide the side" if side % 2 ** (levels - 1) else None
