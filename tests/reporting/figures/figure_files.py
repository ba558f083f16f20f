"""All files that a figure of each kind shows, and a spec of each."""

from typing import Any

import figure_tools
import numpy as np
import yaml
from figure_tools import Results, identity, noise, spec

from vaeglow.files import write_json

SHOWN = yaml.safe_load("""
temperatures: [0.0, 0.5, 1.0]
fids: {vaeglow: [60.0, 40.0, 50.0], glow: [90.0, 70.0, 45.0], vae: [95.0]}
squeezes: {squeeze1: 1, vaeglow: 2, squeeze4: 4}
bits: {vae: 7.0, squeeze1: 6.3, vaeglow: 4.0, squeeze4: 3.9}
reference:
  vae: {no_layer: 6.8, squeeze1: 5.5, squeeze2: 4.3, squeeze4: 4.1, whitening: 3.6}
  pca: {no_layer: 7.05, squeeze1: 5.75, squeeze2: 4.55, squeeze4: 4.35, whitening: 3.85}
""")
FREQUENCY = np.arange(1, 5) / 8
SPECTRUM = {name: (10.0 * k / FREQUENCY).tolist() for k, name in enumerate(("vae", "vae_noisy", "layer", "data"), 1)}
# Of a figure of each kind, its rows and its own keys.
SPECS = yaml.safe_load("""
sample_sheet: {columns: 3, lines_per_row: 2, rows: [{data: test}, {model: vae, temperature: 0.0}]}
side_by_side:
  columns: 3
  lines: 2
  rows: [{model: glow, temperature: 1.0, label: Rival}, {model: vaeglow, temperature: 0.5}]
overview: {rows: [&ours {model: vaeglow, base: vae}]}
sharpening: {lines: 4, rows: [*ours]}
interpolation: {lines: 2, space: prior, rows: [*ours]}
temperature:
  rows:
  - {model: vaeglow, temperature: 1.0}
  - {model: vaeglow, temperature: 0.5}
  - {model: vaeglow, temperature: 0.0}
  - {model: glow, temperature: 1.0}
  - {model: glow, temperature: 0.5}
  - {model: glow, temperature: 0.0}
quality_time:
  rows:
  - {model: vae, temperature: 0.0}
  - {model: vaeglow, temperature: 0.5, base: vae}
  - {model: glow, temperature: 1.0}
budget:
  rows:
  - {model: vae, temperature: 0.0, label: One curve}
  - {model: vaeglow, temperature: 0.5, label: One curve, base: vae}
  - {model: glow, temperature: 1.0, label: Glow}
  - {model: glow, temperature: 0.5, label: "Glow, T=0.5"}
distance_source: {rows: [{model: vaeglow, temperature: 0.5}]}
epochs:
  published: {their VAE: 70.0}
  rows:
  - {model: vae, temperature: 0.0}
  - {model: vaeglow, temperature: 0.5}
linear_reference: {reference_model: vae, rows: [{model: vae}, {model: squeeze1}, {model: vaeglow}, {model: squeeze4}]}
noise_maps: {lines: 3, rows: [{model: vae}]}
nearest_training: {lines: 2, rows: [{model: vaeglow, temperature: 0.5}, {model: glow, temperature: 0.5}]}
importance_bound: {rows: [{model: vae}, *ours]}
spectrum: {left_out: [no grey images], rows: [*ours]}
ablation:
  rows: [{model: vae, temperature: 0.0}, {model: vaeglow, temperature: 1.0}, {model: vaeglow, temperature: 0.5}]
""")
SPECS = {kind: spec(kind, **keys) for kind, keys in SPECS.items()}
MADE = yaml.safe_load("""
vae:
  kind: vae
  training: {epochs: 7}
  network:
    {architecture: resnet, num_scale: 3, base_dim: 8, fc_dim: 128, latent_dim: 32, decoder_noise: diagonal}
  prior: {kind: flow, layers: 4, width: 64}
vae_glow: {kind: vae_glow, mode: frozen, training: {epochs: 9}}
layer: {depth: 5, width: 96, affine_steps: 0, levels: 1, noise_head: false}
trained:
  vae: {epochs_by_phase: [7], parameters: 1000, train_images: 10}
  vaeglow: {epochs_by_phase: [7, 9], parameters: 3500, train_images: 10}
  glow: {epochs_by_phase: [8], parameters: 3500, train_images: 10}
shown:
  vae: {temperature: 0.0, exploded_samples: 0, samples: 7}
  glow: {temperature: 1.0, exploded_samples: 2, samples: 7}
  vaeglow: {temperature: 0.5, exploded_samples: 0, samples: 7}
distances: {prior_mean: 80.0, posterior_mean: 75.0, prior_layer: 40.0, posterior_layer: 35.0}
near:
  {samples: 50, test_images: 40, training_images: 60, all_training_images: 90, features: 64, copies: 3,
  temperature: 0.5, test_copies: 1, shares_nearer: {"1": 0.02, "5": 0.36}, test_percentiles: {"1": 0.5, "5": 1.5}}
""")


def near(seed: int) -> dict[str, np.ndarray]:
    """The arrays of a file of nearest training images: 50 samples, 40 test images, two neighbours, three shown."""
    rng = np.random.default_rng(seed)
    return {
        "images": noise(3, seed=10 + seed),
        "neighbours": noise(3, 2, seed=20 + seed),
        "distances": np.sort(rng.random((50, 2)), 1),
        "test_distances": 5 * rng.random(40),
    }


def bounds(level: float) -> dict[int, np.ndarray]:
    """Bits/dim of 12 images at K = 1; of the first 8 at the others, each with a gain of its own."""
    images = level + np.random.default_rng(int(level)).normal(size=12)
    gain = 0.1 + 0.01 * np.arange(8)
    return {1: images, 10: images[:8] - gain, 1000: images[:8] - 3 * gain}


def configure(made: Results, model: str, **parts: Any) -> dict[str, Any]:
    """Write config.json; returns its content."""
    content = {
        **identity(model),
        "seed": made.seed,
        "data": {"channels": 3, "size": 8},
        "base": None,
        **parts,
    }
    write_json(made.path("config", model), content)
    return content


def ours(made: Results, squeeze: int = 2, model: str = "vaeglow", layer: dict | None = None, **vae: Any) -> None:
    """The configs of a Glow layer and its VAE, with some of their keys."""
    base = configure(made, "vae", **MADE["vae"] | vae)
    layer = {"squeeze": squeeze, **MADE["layer"], **(layer or {})}
    configure(made, model, **MADE["vae_glow"], layer=layer, base=base)


def written(made: Results, factor: float = 1.0) -> Results:
    """With all files of its seed, FIDs, bits/dim and power times `factor`."""
    for model, squeeze in SHOWN["squeezes"].items():
        ours(made, squeeze, model)
    configure(made, "glow", kind="glow", training={"epochs": 8})
    for model, content in MADE["trained"].items():
        made.write("training", model, content)
    made.timing(vae=1, vaeglow=2, glow=3)
    write_images(made)
    for model, fids in SHOWN["fids"].items():
        for temperature, fid in zip(SHOWN["temperatures"], fids, strict=False):
            made.metrics(model, temperature, factor * fid)
    made.snapshots("vae", 0.0, (3.5, factor * 80, 7.0), (1, factor * 90, 8.0))
    made.snapshots("vaeglow", 0.5, (1, None, 5.0), (1.5, factor * 60, 4.0))
    made.snapshots("glow", 1.0, (2, factor * 85, 6.0), (4, factor * 65, 3.8))
    sets = {name: {"fid": factor * fid, "kid": factor * fid / 1000} for name, fid in MADE["distances"].items()}
    made.write("distance_source", "vaeglow", {**sets, **figure_tools.MADE["protocol"], "temperature": 0.5})
    made.write("linear_reference", "vae", {"sources": SHOWN["reference"]})
    for model, bits in SHOWN["bits"].items():
        made.likelihood(model, factor * bits, bounds(factor * bits))
    made.likelihood("glow", 3.0, bounds(3.0))
    spectrum = {name: (factor * np.array(values)).tolist() for name, values in SPECTRUM.items()}
    distances = {"temperature": 0.5, "spectrum_error": {"vae": 1.25, "layer": 0.5}}
    made.write("layer_action", "vaeglow", {"spectrum": {"frequency": FREQUENCY.tolist(), **spectrum}, **distances})
    return made


def write_images(made: Results) -> None:
    """The files of images."""
    for seed, (model, about) in enumerate(MADE["shown"].items()):
        made.write("shown", model, about, {"images": noise(7, seed=seed)})
    layer_images = {"vae": noise(5, seed=3), "layer": noise(5, 3, seed=4)}
    made.write("layer_images", "vaeglow", {"temperature": 0.5}, layer_images)
    made.write("interpolation", "vaeglow", {"space": "prior"}, {"images": noise(3, 4, seed=5)})
    scale = np.linspace(0, 30, 4 * 64, dtype=np.float32).reshape(4, 8, 8)
    maps = {"images": noise(4, seed=6), "mean": noise(4, seed=7), "scale": scale}
    made.write("noise_maps", "vae", {"error_correlation": 0.614}, maps)
    made.write("nearest_training", "vaeglow", MADE["near"], near(0))
    made.write("nearest_training", "glow", MADE["near"], near(1))
