"""Claims on likelihood, speed, information and what images look like, each from files that a step wrote. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vaeglow.reporting.claims.evidence import DEFS, MODEL, MODEL_SHOWN, Evidence, Measured, Need, Row, each, kind
from vaeglow.reporting.claims.statistics import DRAWS, generator, mean_draws
from vaeglow.reporting.paired import bound_note, finite_values
from vaeglow.reporting.rounds import CLOCKS, DISAGREE, Timing, ratios

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
BITS = "bits_per_dim_1"  # of likelihood.npz: bits/dim of each test image behind the headline number (K = 1)
MODELS = {"$ref": f"{DEFS}models"}


def of_model(what: str, *keys: str) -> Callable[[Row], list[Need]]:
    """The results of kind `what` of the claim's models, under these keys of its entry."""
    return lambda claim: [{"what": what, "model": claim[key]} for key in keys]


def mean(values: np.ndarray, evidence: Evidence, unit: str, words: str, of: str, *notes: str, **more: Any) -> Measured:
    """The mean of one number an image (or pair), [n], resampled alike wherever the images are the same."""
    draws = mean_draws(values, evidence.claim["dataset"])[None]
    how = f"bootstrap over {'pairs' if of.startswith('pairs') else 'images'}, {DRAWS} draws"
    return Measured(draws, unit, words, f"{len(values)} {of}", how, len(values), notes=notes, **more)


def needs_bits(claim: Row) -> list[Need]:
    """Both models' bits/dim; evidence to read beside the numbers is what a linear layer could reach."""
    likelihood = each(("likelihood", "likelihood_images"), [{"model": claim[role]} for role in ("better", "worse")])
    return likelihood + (of_model("linear_reference", "reference_model")(claim) if "reference_model" in claim else [])


@kind(
    needs_bits,
    better=MODEL,
    worse=MODEL,
    reference_model={
        **MODEL,
        "default": None,
        "description": "the VAE whose `linear_reference.json` is named as evidence",
    },
)
def bits(evidence: Evidence) -> Measured:
    """Effect: bits/dim of `worse` - bits/dim of `better`."""
    models = [{"model": evidence.claim[role]} for role in ("better", "worse")]
    mine, theirs = (evidence.read("likelihood_images", model, BITS).arrays[BITS].astype(float) for model in models)
    better, worse = (evidence.read("likelihood", model).value("bound") for model in models)
    name, other = map(evidence.label, models)
    note = bound_note(worse, better, other, name)
    words, of = f"bits/dim of {other}, minus those of {name}", "test images, paired"
    readings = {(name, "bits/dim"): float(mine.mean()), (other, "bits/dim"): float(theirs.mean())}
    return mean(theirs - mine, evidence, "bits/dim", words, of, *filter(None, [note]), readings=readings)


@kind(
    lambda claim: [
        {"what": "timing", "model": model, "preset": claim["networks"]} for model in (*claim["slow"], *claim["fast"])
    ],
    seeded=False,
    slow={**MODELS, "description": "list of models; several phases count by their mean"},
    fast={**MODELS, "description": "the same"},
    networks={"type": "string", "description": "the preset whose networks are timed"},
)
def speed(evidence: Evidence) -> Measured:
    """Effect: time of `slow` / time of `fast` (Table 4).

    The mean over a side's phases, per image; Student's t over the log ratios of rounds.
    """
    claim, result = evidence.claim, evidence.read("timing", {"preset": evidence.claim["networks"]})
    slow, fast = (
        [Timing({"model": model, "label": evidence.label(model)}, result) for model in claim[role]]
        for role in ("slow", "fast")
    )
    clock, found = slow[0].clock, ratios(slow, fast, slow[0].clock)
    logs, doubt = np.log(found), doubted(slow, fast)
    draws = generator("speed").standard_t(len(logs) - 1, DRAWS) * logs.std(ddof=1) / np.sqrt(len(logs))
    effects = np.exp(logs.mean() + np.concatenate([[0], draws]))
    device, threads, images = (result.value(key) for key in ("device", "threads", "epoch_images"))
    names = [" and ".join(one.name for one in side) for side in (slow, fast)]
    return Measured(
        effects[None, :1] if doubt else effects[None],
        unit="times",
        words=f"{CLOCKS[clock]} an epoch of {names[0]}, by those of {names[1]} (mean over phases of equal epochs)",
        scale=f"networks of preset {claim['networks']}, {len(found)} rounds, {device}, {threads} threads, an epoch of "
        f"{images} images",
        how="none: rounds disagree" if doubt else "t over rounds of timed windows",
        readings={
            (one.name, f"{words} an epoch"): float(np.median(one.epochs(other)))
            for one in (*slow, *fast)
            for other, words in CLOCKS.items()
        },
        notes=doubt,
    )


def doubted(slow: Sequence[Timing], fast: Sequence[Timing]) -> tuple[str, ...]:
    """Why rounds make no ratio; nothing where they do.

    The rule: of the clock that is used the ratios of no two rounds differ by more than `DISAGREE` times; and on a CPU
    the medians of both clocks' ratios do not, either.
    """
    clock = slow[0].clock
    used = ratios(slow, fast, clock)
    one, other = np.median(used), np.median(ratios(slow, fast, "seconds"))
    if used.max() > DISAGREE * used.min():
        what = f"ratios of rounds go from {used.min():.3g} to {used.max():.3g}"
    elif max(one, other) > DISAGREE * min(one, other):
        what = f"the median ratio is {one:.3g} in {CLOCKS[clock]} and {other:.3g} in {CLOCKS['seconds']}"
    else:
        return ()
    path = slow[0].result.path
    return (f"the machine was too busy for a ratio: {what}; delete {path} and time again on a quieter one",)


@kind(of_model("noise_maps", "model"), model=MODEL_SHOWN)
def noise(evidence: Evidence) -> Measured:
    """Effect: mean over images of the rank correlation of s(z) and the error."""
    name, result = evidence.label(evidence.claim["model"]), evidence.read("noise_maps", evidence.claim)
    values = finite_values(result.path, result.value("error_correlations"))
    words = f"rank correlation over pixels of s(z) and |error| of {name}, mean over images"
    return mean(values, evidence, "correlation", words, "test images")


@kind(
    of_model("latents", "higher", "lower"),
    higher=MODEL,
    lower=MODEL,
    value={"enum": list(LATENTS), "description": "which value of `latents.json`"},
)
def information(evidence: Evidence) -> Measured:
    """Effect: `value` of `higher` - `value` of `lower`, of what the latent holds."""
    key, models = evidence.claim["value"], [evidence.claim[role] for role in ("higher", "lower")]
    what, unit = LATENTS[key]
    results = [evidence.read("latents", {"model": model}) for model in models]
    values, names = [result.number(key) for result in results], list(map(evidence.label, models))
    return Measured(
        np.array([[values[0] - values[1]]]),
        unit=unit,
        words=f"{what}: of {names[0]}, minus of {names[1]}",
        scale=f"{results[1].value('images')} images",
        how="none: one number a run",
        readings={(name, unit): value for name, value in zip(names, values, strict=True)},
    )


@kind(
    of_model("layer_action", "model"),
    model=MODEL_SHOWN,
    value={"enum": ["sharpness", "content"], "description": "which value of `layer_action.json`"},
)
def layer(evidence: Evidence) -> Measured:
    """Effect: what f does to an image.

    It brings a VAE sample's spectrum nearer to the data's (`sharpness`), or keeps what the sample shows (`content`): by
    pixels, as Inception's features turn with texture, which the layer adds to every image alike.
    """
    result = evidence.read("layer_action", evidence.claim)
    name, images = evidence.label(evidence.claim["model"]), result.value("per_image")

    def values(key: str) -> np.ndarray:
        return finite_values(result.path, images[key])

    if evidence.claim["value"] == "content":
        found, by_features = values("content_kept_pixels"), values("content_kept").mean()
        unit, words = (
            "share of images",
            "share of the layer's images whose nearest VAE image, pixel by pixel, is their own",
        )
        note = (
            f"by chance it would be {1 / len(found):.4g}; by Inception's features it is {by_features:.2f}. "
            "Pixel by pixel, noise that has nothing to do with the image would keep its content, too: this asks that "
            "nothing is lost, not that what is added makes sense"
        )
    else:
        plain, noisy, after = (values(f"spectrum_error_{stage}") for stage in ("vae", "vae_noisy", "layer"))
        found, unit = np.minimum(plain, noisy) - after, "log10 of power"
        words = (
            "distance of an image's log power spectrum from the data's: of the VAE's mean or, where that is nearer, "
            "of that mean with the layer's noise and no layer; minus of the layer's image"
        )
        note = f"means: VAE's mean {plain.mean():.3g}, with noise {noisy.mean():.3g}, layer {after.mean():.3g}"
    return mean(found, evidence, unit, f"{words} ({name})", "latents", note)


@kind(
    lambda claim: [{"what": "interpolation", "model": claim["model"], "space": claim["space"]}],
    model=MODEL_SHOWN,
    space={"$ref": f"{DEFS}space"},
)
def smooth(evidence: Evidence) -> Measured:
    """Effect: mean step / largest step of an interpolation, in pixels."""
    result, name = evidence.read("interpolation", evidence.claim), evidence.label(evidence.claim["model"])
    steps = [finite_values(result.path, pair) for pair in result.value("step_distances")]
    found = np.array([pair.mean() / pair.max() if pair.max() > 0 else np.nan for pair in steps])
    words = f"mean step of an interpolation by its largest, in pixels, {name}: 1 for even steps"
    note = f"a path that is one jump has {1 / len(steps[0]):.2g}"
    return mean(found, evidence, "ratio", words, f"pairs of {len(steps[0])} steps", note)
