"""The Glow layer on a decoder of your own, in a training loop of your own: `python docs/examples/own_loop.py`."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Normal, kl_divergence

import vaeglow


def train(steps: int = 1000, batch: int = 64, latent: int = 8) -> tuple[list[float], torch.Tensor]:
    """Train a small VAE under a Glow layer on 8x8 digits: the loss of each step in nats, and samples [64, 1, 8, 8]."""
    torch.manual_seed(0)
    data = torch.from_numpy(load_digits().images).float()[:, None]  # [1797, 1, 8, 8], values 0..16
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * latent))
    decoder = nn.Sequential(nn.Linear(latent, 128), nn.ReLU(), nn.Linear(128, 64), nn.Unflatten(1, (1, 8, 8)))
    log_sd = nn.Parameter(-torch.ones(()))
    losses = []
    layer = vaeglow.GlowLayer(channels=1, depth=4, width=16, squeeze=2, affine_steps=0, scales=1)
    layer.initialise((data[:256] + 0.5) / 17)  # from here on it is the identity
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), *layer.parameters(), log_sd], 1e-3)
    for step in range(steps):
        images = data[torch.randint(len(data), (batch,))]
        y = (images + torch.rand_like(images)) / 17  # dequantised
        mean, raw = encoder(y).chunk(2, 1)
        posterior = Normal(mean, raw.exp())
        x_bar, log_det = layer(y)
        log_p = Normal(decoder(posterior.rsample()), log_sd.exp()).log_prob(x_bar).sum((1, 2, 3)) + log_det
        loss = (kl_divergence(posterior, Normal(0.0, 1.0)).sum(1) - log_p).mean()  # at least -log p(y) (eq. 1 and 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"step {step} of {steps}: {loss:.1f} nats per image")
    with torch.no_grad():
        return losses, layer.inverse(decoder(torch.randn(64, latent)))  # of the decoder's mean: temperature 0


if __name__ == "__main__":
    losses, samples = train()
    print(f"{losses[0]:.1f} nats per image at the start, {losses[-1]:.1f} at the end")
    vaeglow.save_images((255 * samples).clamp(0, 255).byte(), "own_loop.png")
    print("own_loop.png: 64 samples")
