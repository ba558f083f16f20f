"""Claims on likelihood, speed, information and what images look like, each from files that a step wrote of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.reporting import paired
from vaeglow.reporting.claims.evidence import REMEDY, Evidence, checked_values
from vaeglow.reporting.claims.statistics import DRAWS, Measured, generator, mean_draws
from vaeglow.reporting.labels import model_label
from vaeglow.reporting.measured import expect, finite, value_of
from vaeglow.reporting.rounds import CLOCKS, DISAGREE, Timing, ratios
from vaeglow.results import Result

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

    Student's t over the log ratios of rounds. Rounds or clocks that disagree too much are no measurement.
    """
    path, content = evidence.json("timing", claim, seed, preset=claim["networks"])
    slow, fast = (
        [Timing({"model": model}, Result(path, content)) for model in claim[role]] for role in ("slow", "fast")
    )
    clock, readings = slow[0].clock, {}
    for one in (*slow, *fast):
        for other, words in CLOCKS.items():
            readings[one.name, f"{words} an epoch"] = float(np.median(one.epochs(other)))
    found = ratios(slow, fast, clock)
    logs = np.log(found)
    draws = generator("speed").standard_t(len(logs) - 1, DRAWS) * logs.std(ddof=1) / np.sqrt(len(logs))
    doubt = doubted(slow, fast)
    names = [" and ".join(one.name for one in side) for side in (slow, fast)]
    return Measured(
        effects=np.exp(logs.mean(keepdims=True)),
        draws=None if doubt else np.exp(logs.mean() + draws)[None],
        units=None,
        how="none: rounds disagree" if doubt else "t over rounds of timed windows",
        unit="times",
        words=f"{CLOCKS[clock]} an epoch of {names[0]}, by those of {names[1]} (mean over phases of equal epochs)",
        scale=f"networks of preset {claim['networks']}, {len(found)} rounds, {slow[0].result.value('device')}, "
        f"{slow[0].result.value('threads')} threads, an epoch of {slow[0].result.value('epoch_images')} images",
        readings=readings,
        notes=doubt,
    )


def doubted(slow: Sequence[Timing], fast: Sequence[Timing]) -> tuple[str, ...]:
    """Why rounds make no ratio; nothing where they do.

    The rule: of the clock that is used the ratios of no two rounds differ by more than `DISAGREE` times; and on a CPU
    the medians of both clocks' ratios do not, either.
    """
    clock = slow[0].clock
    used = ratios(slow, fast, clock)
    if used.max() > DISAGREE * used.min():
        what = f"ratios of rounds go from {used.min():.3g} to {used.max():.3g}"
    else:
        one, other = np.median(used), np.median(ratios(slow, fast, "seconds"))
        if max(one, other) <= DISAGREE * min(one, other):
            return ()
        what = f"the median ratio is {one:.3g} in {CLOCKS[clock]} and {other:.3g} in {CLOCKS['seconds']}"
    return (
        f"the machine was too busy for a ratio: {what}; delete {slow[0].result.path} and time again on a quieter one",
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
        how="none: one number a run",
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
