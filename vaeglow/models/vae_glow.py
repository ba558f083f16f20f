"""The paper's model: a VAE under a Glow layer f (section 3), trained in two phases or jointly (section 3.4)."""

from torch import Tensor
from torch.nn import init

from vaeglow.models.base import GenerativeModel, Terms
from vaeglow.models.bounds import Gaussian, gaussian_log_density, gaussian_sample
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.kinds import Config
from vaeglow.models.nets import initialise
from vaeglow.models.vae import VAE, log_importance_weights
from vaeglow.models.vae import build as build_vae
from vaeglow.noise import Generator


class VAEGlow(GenerativeModel):
    """log p(y|z) = log N(f(y); g_mu(z), g_Sigma(z)) + log|det df/dy| (paper, eq. 4), z as in the VAE.

    Phase 2 (`frozen`) trains only the layer: the VAE stays in evaluation mode without gradients, its weights and
    batch norm statistics bit for bit those of phase 1. Joint training trains VAE, prior and layer.

    Args:
        vae: the VAE; if frozen, that of phase 1.
        layer: the Glow layer f.
        frozen: keep the VAE as it is.
        noise_head: add a head on the decoder's last features, zero at the start, that learns the noise of f(y):
            the noise of phase 1 was learned for y (docs/beyond.md). Not in the paper.
    """

    def __init__(self, vae: VAE, layer: GlowLayer, frozen: bool, noise_head: bool) -> None:
        super().__init__(vae.channels, vae.size, vae.levels)
        self.vae = vae.freeze() if frozen else vae
        self.layer = layer
        self.noise_head = None
        if noise_head:
            last = vae.decoder.last
            self.noise_head = type(last)(last.in_channels, vae.channels, last.kernel_size, last.stride, last.padding)
            initialise(self.noise_head, init.zeros_)

    def decode(self, z: Tensor) -> Gaussian:
        """p(x_bar|z): mean and log standard deviation, each [N, C, H, W] (paper, eq. 3)."""
        return self.vae.gaussian(*self.vae.decoder(z), self.noise_head)

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """See `GenerativeModel`; eq. 1 with eq. 4 as its likelihood, one z ~ q(z|y)."""
        z, negative_kl = self.vae.posterior_sample(y, generator)
        x_bar, log_det = self.layer(y)
        return {
            "reconstruction": gaussian_log_density(x_bar, *self.decode(z)),
            "log_det": log_det.expand(len(y)),
            "negative_kl": negative_kl,
        }

    def log_weights(self, y: Tensor, latents: int, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; f does not depend on z, so it is computed once for all draws."""
        vae = self.vae
        x_bar, log_det = self.layer(y)
        weights = log_importance_weights(x_bar, self.decode, vae.encode(y), latents, vae.prior.log_prob, generator)
        return (weights + log_det).T

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; x = f^-1(x_bar), x_bar ~ p(x_bar|z) at `temperature` (section 3.5)."""
        return self.layer.inverse(
            gaussian_sample(*self.decode(self.vae.prior_sample(count, generator)), generator, temperature)
        )

    def reconstruct(self, y: Tensor) -> Tensor:
        """f^-1(g_mu(E[z|y])): [N, C, H, W]."""
        return self.layer.inverse(self.vae.reconstruct(y))

    def initialise(self, y: Tensor) -> None:
        """Initialise the layer as the identity on data y [N, C, H, W], unless its actnorms are already set."""
        self.layer.initialise(y)


def build(config: Config) -> VAEGlow:
    """The untrained model of a resolved config (section 3.3); training loads the base's weights over it."""
    mode = config["mode"]
    vae = build_vae(config["base"]["base"] if mode == "finetune" else config["base"])
    options = dict(config["layer"])
    noise_head = options.pop("noise_head")
    return VAEGlow(vae, GlowLayer(vae.channels, scales=options.pop("levels"), **options), mode == "frozen", noise_head)
