"""Quality against training time: FID, KID and bits/dim of a run's snapshots and of its final weights."""

from contextlib import suppress
from copy import deepcopy
from pathlib import Path

from vaeglow.errors import UserError
from vaeglow.steps import cli


@cli.step
def main(
    *,
    model: Path,
    snapshots: Path,
    data_dir: Path,
    reference: Path,
    weights: Path,
    temperature: float,
    batch_size: int,
    likelihood_images: int,
    device: str,
    output: Path,
) -> None:
    """Measure with the run's own seed, a point for each snapshot in order, the finished weights last.

    `epoch` counts those of the run's own phase, as a float. Samples are the first set of those of step `sample`, so the
    last point's FID and KID are that set's. `bits_per_dim` (K = 1) and its `standard_error`, of the first
    `likelihood_images`, are None where an image's is not finite, as can happen early in training; `fid`, `kid` and
    `kid_standard_error` where more than half of the samples overflowed (`exploded_samples`), which is not a
    distribution of images.

    Args:
        snapshots: the run's snapshots, .safetensors
        likelihood_images: first test images that bits/dim use
    """
    from vaeglow.evaluation.fid import Reference
    from vaeglow.evaluation.likelihood import one_sample_terms, summary
    from vaeglow.evaluation.trained import TrainedRun, sample
    from vaeglow.models.bounds import bits_per_dim, total
    from vaeglow.results import write_result
    from vaeglow.training.checkpoint import read_snapshots

    run = TrainedRun(model, device)
    network = run.network
    images = run.images(data_dir / "test.npy")[:likelihood_images]
    compared = Reference.open(reference, weights, batch_size, run.device, run.identity)
    final = deepcopy(network.state_dict())
    last = {"fraction": 1.0, "epoch": float(run.config["training"]["epochs"])}
    points = []
    for when, state in [*read_snapshots(snapshots), (last, final)]:
        network.load_state_dict(state)
        point = {"fraction": when["fraction"], "epoch": when["epoch"]}
        point |= dict.fromkeys(("bits_per_dim", "standard_error", "fid", "kid", "kid_standard_error"))
        with suppress(UserError):  # of a term that is not finite
            terms = one_sample_terms(network, images, batch_size, run.seed, run.device)
            bits = summary(bits_per_dim(total(terms), network.dims, network.levels))
            point |= {"bits_per_dim": bits["bits_per_dim"], "standard_error": bits["standard_error"]}
        samples, exploded = sample(network, compared.real.value("images"), temperature, run.seed, run.device)
        point["exploded_samples"] = exploded
        if 2 * exploded <= len(samples):
            point |= compared.fid_and_kid(samples.numpy())
        points.append(point)
        print(", ".join(f"{key} {value}" for key, value in point.items()))
    content = {
        **run.identity,
        **compared.record,
        "temperature": temperature,
        "likelihood_images": len(images),
        "points": points,
    }
    write_result(output, content, [run.path, snapshots, weights], run.provenance)
