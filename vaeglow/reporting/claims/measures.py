"""Claims on likelihood, speed, information and what images look like, each from files that a step wrote of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.reporting import paired
from vaeglow.reporting.claims.evidence import REMEDY, Evidence, checked_values
from vaeglow.reporting.claims.statistics import DRAWS, Measured, generator, mean_draws
from vaeglow.reporting.labels import model_label
from vaeglow.reporting.measured import expect, finite, value_of

Claim = Mapping[str, Any]
LATENTS = {  # numbers of latents.json: words, unit
    "variance_explained": ("share of the variance of x_bar that z decides", "share"),
    "decoder_information_lower_nats": ("lower estimate of the divergence of p(x_bar|z) from p(x_bar)", "nats"),
    "decoder_information_upper_nats": ("upper estimate of the divergence of p(x_bar|z) from p(x_bar)", "nats"),
    "active_units": ("active units of z", "units"),
    "kl_nats": ("KL divergence of q(z|x) from p(z)", "nats"),
    "information_lower_nats": ("lower estimate of the information in z", "nats"),
    "information_upper_nats": ("upper estimate of the information in z", "nats"),
    "entropy_x_bar_bits_per_dim": ("entropy of x_bar given z", "bits/dim"),
    "entropy_image_bits_per_dim": ("entropy of the image given z", "bits/dim"),
}


def bits(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """One model has fewer bits/dim than another: paired, on the same test images."""
    (better, mine), (worse, theirs) = (evidence.bits(claim, seed, claim[role]) for role in ("better", "worse"))
    runs = [f"{claim[role]} (seed {seed})" for role in ("worse", "better")]
    values = paired.difference(theirs, mine, runs, REMEDY)
    if "reference_model" in claim:  # evidence to read beside the numbers: what a linear layer could reach
        evidence.json("linear_reference", claim, seed, model=claim["reference_model"])
    names = [model_label(claim[role]) for role in ("better", "worse")]
    words = f"bits/dim of {names[1]}, minus those of {names[0]}"
    readings = {(names[0], "bits/dim"): float(mine.mean()), (names[1], "bits/dim"): float(theirs.mean())}
    note = paired.bound_note(worse["bound"], better["bound"], *names[::-1])
    return per_image(values, claim, "bits/dim", words, f"{len(mine)} test images, paired", readings, note)


def speed(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """Steps of one model take longer than those of another, the mean over its phases, per image.

    The mean log seconds of each network's windows, drawn from its t distribution: few windows make a wide interval.
    """
    seconds, readings, devices, windows = {}, {}, {}, set()
    for model in (*claim["slow"], *claim["fast"]):
        path, content = evidence.json("timing", claim, seed, model=model, preset=claim["networks"])
        logs = np.log(checked_values(path, value_of(path, content, "window_seconds_per_image")))
        if len(logs) < 2:
            raise UserError(f"{path} holds one window: time it again with windows: 2 or more (timing in the config)")
        noise = generator("speed", model).standard_t(len(logs) - 1, DRAWS) * logs.std(ddof=1) / np.sqrt(len(logs))
        seconds[model] = np.exp(logs.mean() + np.concatenate([[0], noise]))
        epoch = value_of(path, content, "epoch_images")
        readings[model_label(model), "seconds an epoch"] = float(seconds[model][0] * epoch)
        devices[content.get("device"), content.get("threads"), epoch] = path
        windows.add(len(logs))
    if len(devices) > 1:
        first, second = list(devices.values())[:2]
        raise UserError(f"{first} and {second} differ in device, threads or epoch_images: {REMEDY}")
    slow, fast = (np.mean([seconds[model] for model in claim[role]], axis=0) for role in ("slow", "fast"))
    effect = slow / fast
    slow_names, fast_names = (" and ".join(model_label(m) for m in claim[role]) for role in ("slow", "fast"))
    (device, threads, epoch) = next(iter(devices))
    return Measured(
        effects=effect[:1],
        draws=effect[None, 1:],
        units=None,
        how="t over each network's timed windows, combined",
        unit="times",
        words=f"seconds an epoch of {slow_names}, by those of {fast_names} (mean over phases of equal epochs)",
        scale=f"networks of preset {claim['networks']}, {'/'.join(map(str, sorted(windows)))} windows each, {device}, "
        f"{threads} threads, an epoch of {epoch} images",
        readings=readings,
    )


def noise(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """The decoder's s(z) is small where its mean is right."""
    path, _, metadata = evidence.arrays("noise_maps", (), claim, seed, model=claim["model"])
    found = value_of(path, metadata, "error_correlations")
    if found is None:
        raise UserError(f"{path} is of isotropic noise, one s(z) everywhere: take a model with diagonal noise")
    values = checked_values(path, found)
    words = f"rank correlation over pixels of s(z) and |error| of {model_label(claim['model'])}, mean over images"
    return per_image(values, claim, "correlation", words, f"{len(values)} test images", {})


def information(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """A number of latents.json is higher in one model than in another; one number a run, so only seeds can judge."""
    key, readings, values = claim["value"], {}, []
    what, unit = LATENTS[key]
    for role in ("higher", "lower"):
        path, content = evidence.json("latents", claim, seed, model=claim[role])
        finite(path, content, key)
        values.append(content[key])
        readings[model_label(claim[role]), unit] = content[key]
    return Measured(
        effects=np.array([values[0] - values[1]]),
        draws=None,
        units=None,
        how="",
        unit=unit,
        words=f"{what}: of {model_label(claim['higher'])}, minus of {model_label(claim['lower'])}",
        scale=f"{value_of(path, content, 'images')} images",
        readings=readings,
    )


def layer(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """The Glow layer brings a VAE sample's spectrum nearer to the data's, or keeps what the sample shows."""
    path, content = evidence.json("layer_action", claim, seed, model=claim["model"])
    images = value_of(path, content, "per_image")

    def values(key: str) -> np.ndarray:
        return checked_values(path, value_of(path, images, key))

    if claim["value"] == "content":
        # by pixels: Inception's features turn with texture, which the layer adds to every image alike
        found, unit = values("content_kept_pixels"), "share of images"
        words = "share of the layer's images whose nearest VAE image, pixel by pixel, is their own"
        by_features = values("content_kept").mean()
        note = (
            f"by chance it would be {1 / len(found):.4g}; by Inception's features it is {by_features:.2f}. "
            "Pixel by pixel, noise that has nothing to do with the image would keep its content, too: this asks that "
            "nothing is lost, not that what is added makes sense"
        )
    else:
        plain, noisy, after = (values(f"spectrum_error_{stage}") for stage in ("vae", "vae_noisy", "layer"))
        if not plain.shape == noisy.shape == after.shape:
            raise UserError(f"{path} holds {len(plain)}, {len(noisy)} and {len(after)} images of a kind: {REMEDY}")
        found, unit = np.minimum(plain, noisy) - after, "log10 of power"
        words = (
            "distance of an image's log power spectrum from the data's: of the VAE's mean or, where that is nearer, "
            "of that mean with the layer's noise and no layer; minus of the layer's image"
        )
        means = zip(("VAE's mean", "with noise", "layer"), (plain, noisy, after), strict=True)
        note = "means: " + ", ".join(f"{what} {values.mean():.3g}" for what, values in means)
    words += f" ({model_label(claim['model'])})"
    return per_image(found, claim, unit, words, f"{len(found)} latents", {}, note)


def smooth(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """No step of an interpolation is much larger than the others."""
    path, _, metadata = evidence.arrays("interpolation", (), claim, seed, model=claim["model"], space=claim["space"])
    steps = [checked_values(path, pair) for pair in value_of(path, metadata, "step_distances")]
    expect(path, metadata, {"space": claim["space"]})
    found = np.array([pair.mean() / pair.max() if pair.max() > 0 else np.nan for pair in steps])
    words = f"mean step of an interpolation by its largest, in pixels, {model_label(claim['model'])}: 1 for even steps"
    note = f"a path that is one jump has {1 / len(steps[0]):.2g}"
    return per_image(found, claim, "ratio", words, f"{len(steps)} pairs of {len(steps[0])} steps", {}, note, "pairs")


def per_image(
    values: np.ndarray,
    claim: Claim,
    unit: str,
    words: str,
    scale: str,
    readings: Mapping[tuple[str, str], float],
    note: str = "",
    what: str = "images",
) -> Measured:
    """The mean of one number an image (or pair), resampled alike wherever the images are the same."""
    draws = mean_draws(values, claim["dataset"])
    return Measured(
        effects=draws[:1],
        draws=draws[None, 1:],
        units=len(values),
        how=f"bootstrap over {what}, {DRAWS} draws",
        unit=unit,
        words=words,
        scale=scale,
        readings=readings,
        notes=(note,) if note else (),
    )
