"""What z holds: active units, information, and how much of the image it decides (paper, sections 3.1 and 3.4).

Section 3.4 says of joint training that "little information was encoded in the decoder distribution, i.e. there was
little divergence between p(x_bar|z) and p(x_bar)", and of joint fine-tuning that "the entropy of the conditional Glow
distribution increased", without a number for either. These are our numbers for both.

The mean of KL(p(x_bar|z) || p(x_bar)) over z ~ p(z) is the mutual information I(x_bar; z) under the model. x_bar = f(x)
with f invertible, so it is I(x; z) as well: unlike a variance, it does not depend on the scale that f gives x_bar.
p(x_bar) has no closed form; estimates from both sides bound the information in expectation.
"""

import math

import torch
from torch import Tensor

from vaeglow.data.loader import LATENTS
from vaeglow.evaluation.likelihood import Batches, dequantised_batches, finite, joined
from vaeglow.evaluation.probes import Measured, Reads
from vaeglow.evaluation.trained import Layer, TrainedRun, vae_and_layer
from vaeglow.files import Config
from vaeglow.models.bounds import LOG_2PI, Pair, Terms, gaussian_log_density, gaussian_sample
from vaeglow.models.vae import VAE, Decode, log_importance_weights

ACTIVE_VARIANCE = 0.01  # Burda, Grosse & Salakhutdinov 2016, section 5.2
ROWS = 100  # draws compared with all distributions at a time
DRAWS = 8  # around the latent that an image was drawn from, for each width
WIDTHS = (0.25, 0.5, 1.0, 2.0)  # times the posterior's standard deviation


def measure(run: TrainedRun, reads: Reads, settings: Config) -> Measured:
    """The values of a model's `latents.json`.

    For N test images y, one z ~ q(z|y) each: `active_units`; `kl_nats`, the mean of log q(z|y) - log p(z), which is
    also `information_upper_nats`, for its expectation is at least I(x; z); `information_lower_nats` (see
    `information_lower`) and its cap log N. For as many z ~ p(z): `decoder_information_lower_nats` and `_upper_nats`
    (see `decoder_information`); `variance_explained`, Var_z[g_mu(z)] / (Var_z[g_mu(z)] + E_z[s(z)^2]), both summed over
    the D values of x_bar, the share of its variance that z decides (between models with a layer it depends on the scale
    that f gives x_bar); and the entropies: H(x_bar|z) = E_z[sum log s(z)] + D/2 log(2 pi e), and H(x_hat|z) =
    H(x_bar|z) - E[log|det df/dy|] with f the layer (eq. 4); of a VAE alone x_hat is x_bar. Entropies are those of
    continuous values in [0, 1), plus log2 of the levels: so they compare with bits/dim.
    """
    vae, layer = vae_and_layer(run.network, run.config, "the probe latents")
    images = run.images(reads["test"])[: settings["images"]]

    def draws() -> Batches:
        for _, y, generator in dequantised_batches(vae, images, settings["batch_size"], run.seed, LATENTS, run.device):
            mean, log_scale = vae.encode(y)
            z = gaussian_sample(mean, log_scale, generator)
            yield {
                **draw_x_bar(
                    vae,
                    layer,
                    run.network.decode,
                    vae.prior_sample(len(y), generator),
                    log_scale.mean(0),
                    generator,
                ),
                "z": z,
                "z_means": mean,
                "z_log_scales": log_scale,
                "kl": (gaussian_log_density(z, mean, log_scale) - vae.prior.log_prob(z)).double(),
                "log_det": layer(y)[1].expand(len(y)).double(),
            }

    drawn = joined(draws())
    size = len(images)
    nats = vae.dims * math.log(2)  # in a bit/dim
    kl_nats = float(finite(drawn["kl"], "the KL divergence").mean())
    lower = information_lower(drawn["z"], drawn["z_means"], drawn["z_log_scales"])
    decoder_lower, decoder_upper = decoder_information(drawn)
    decided = float(drawn["means"].var(0).sum())
    noise = float((2 * drawn["log_scales"]).exp().sum()) / size
    log_scale = float(finite(drawn["log_scales"].sum(1), "the decoder's noise").mean())
    entropy = (log_scale + vae.dims / 2 * (LOG_2PI + 1)) / nats + math.log2(vae.levels)
    log_det = float(finite(drawn["log_det"], "the layer's log-determinant").mean()) / nats
    return {
        "split": "test",
        "images": size,
        "latent_dim": vae.prior.dims,
        "active_units": active_units(drawn["z_means"]),
        "kl_nats": kl_nats,
        "kl_bits_per_dim": kl_nats / nats,
        "information_lower_nats": float(finite(lower, "the information in z").mean()),
        "information_upper_nats": kl_nats,
        "information_cap_nats": math.log(size),
        "decoder_information_lower_nats": decoder_lower,
        "decoder_information_upper_nats": decoder_upper,
        "variance_explained": decided / (decided + noise),
        "entropy_x_bar_bits_per_dim": entropy,
        "entropy_image_bits_per_dim": entropy - log_det,
        "layer_log_det_bits_per_dim": log_det,
    }, None


def active_units(means: Tensor) -> int:
    """How many entries of z vary between images: those whose posterior mean [N, d] has a variance above 0.01 over N.

    The threshold (Burda et al. 2016) is made for p(z) = N(0, I); under a flow prior z has no fixed scale, so read the
    count together with the information.
    """
    return int((means.double().var(0) > ACTIVE_VARIANCE).sum())


def information_lower(z: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
    """log q(z_i|y_i) - log (1/N) sum_j q(z_i|y_j): in expectation at most I(x; z), and never above log N.

    The mixture over the N images, z_i's own among them, approximates the aggregate posterior q(z). So a latent that
    tells all N images apart gives log N, however much more it holds: near the cap, see the upper estimate.

    From draws z_i, and means and log standard deviations of q(z|y_j), [N, d] each; float64 [N], nats.
    """
    q = [values.double() for values in (z, means, log_scales)]
    return gaussian_log_density(*q) - mixtures(*q)[1]


def draw_x_bar(vae: VAE, layer: Layer, decode: Decode, z: Tensor, width: Tensor, generator: torch.Generator) -> Terms:
    """Draw x_bar ~ p(x_bar|z) for a batch of z ~ p(z), and bound log p(x_bar) by importance weights.

    log p(x_bar) >= E log mean_k p(x_bar|z_k) p(z_k) / r(z_k) for z_k ~ r, for any r: here q(z|y)
    at y = f^-1(x_bar) (eq. 1), and, as z is known here, N(z, (c width)^2) for each c of `WIDTHS`: tight to about
    half a nat a latent, even where the encoder does not know such images. `width` [d] is log standard deviations to
    expect of p(z|x_bar).

    Returns:
        float64 on the CPU: `x_bar`, the decoder's `means` and `log_scales` at z, all [B, D]; `own`, log p(x_bar|z) [B];
        `bounds` on log p(x_bar), [B, 1 + len(WIDTHS)].
    """
    mean, log_scale = decode(z)
    x_bar = gaussian_sample(mean, log_scale, generator)
    bounds = [
        *log_importance_weights(x_bar, decode, vae.encode(layer.inverse(x_bar)), 1, vae.prior.log_prob, generator)
    ]
    for factor in WIDTHS:
        near = z, (width + math.log(factor)).expand_as(z)
        weights = log_importance_weights(x_bar, decode, near, DRAWS, vae.prior.log_prob, generator)
        bounds.append(weights.logsumexp(0) - math.log(DRAWS))
    drawn = {
        "x_bar": x_bar.flatten(1),
        "means": mean.flatten(1),
        "log_scales": log_scale.flatten(1),
        "own": gaussian_log_density(x_bar, mean, log_scale),
        "bounds": torch.stack(bounds, 1),
    }
    return {name: values.double().cpu() for name, values in drawn.items()}


def decoder_information(draws: Terms) -> tuple[float, float]:
    """Estimates of I(x_bar; z) in nats, from below and from above.

    From below: p(x_bar) replaced by the mixture over the N decoder distributions, its own among them; never above
    log N. From above, the least of several: log p(x_bar) replaced by one of the bounds of `draw_x_bar`; or by the log
    of the mixture over the N - 1 others, tight where z decides little. A bound that overflows at an image, as f^-1 can,
    has the mixture's value there.

    Args:
        draws: what `draw_x_bar` returned, of N draws together.
    """
    own = finite(draws["own"], "the decoder's density")
    others, mixture = mixtures(draws["x_bar"], draws["means"], draws["log_scales"])
    bounds = draws["bounds"].where(draws["bounds"].isfinite(), others[:, None])
    bounds = torch.cat([bounds, others[:, None]], 1)
    return (
        float(finite(own - mixture, "the decoder's information").mean()),
        float(finite((own.mean() - bounds.mean(0).max())[None], "the decoder's information")),
    )


def mixtures(values: Tensor, means: Tensor, log_scales: Tensor) -> Pair:
    """log of the mean of N(values_i; means_j, scales_j^2) over j other than i, and over all j: [N] each."""
    precision = torch.exp(-2 * log_scales)
    weighted = means * precision
    constant = (means * weighted + 2 * log_scales + LOG_2PI).sum(1)  # [N], of distribution j
    others = []
    everyone = []
    for start in range(0, len(values), ROWS):  # (x - m)^2 / s^2 expanded: matrix products instead of [N, N, d]
        rows = values[start : start + ROWS]
        log_density = -0.5 * ((rows**2) @ precision.T - 2 * (rows @ weighted.T) + constant)
        everyone.append(log_density.logsumexp(1) - math.log(len(values)))
        log_density.diagonal(start).fill_(-math.inf)  # of its own distribution
        others.append(log_density.logsumexp(1) - math.log(len(values) - 1))
    return torch.cat(others), torch.cat(everyone)
