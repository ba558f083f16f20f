"""Quality against training time: FID, KID and bits/dim of a run's snapshots and of its final weights.

Models trained in one and in two phases share an axis, `total_seconds`.
"""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(
    *,
    model: Path,
    kept_weights: Path,
    training: Path,
    data_dir: Path,
    reference: Path,
    weights: Path,
    temperature: float,
    batch_size: int,
    likelihood_images: int,
    device: str,
    output: Path,
) -> None:
    """Measure with the run's own seed.

    Args:
        kept_weights: the run's snapshots, .safetensors
        likelihood_images: first test images that bits/dim use
    """
    from vaeglow.evaluation.fid import check_comparable, protocol_of, read_reference
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.snapshots import measure_point, timeline
    from vaeglow.evaluation.trained import TrainedRun
    from vaeglow.results import Result, read_result, write_result
    from vaeglow.training.checkpoint import read_snapshots

    run, real = TrainedRun(model, device), read_reference(reference)
    images = run.images(data_dir / "test.npy")[:likelihood_images]
    trained = read_result(training, weights_sha256=run.identity["weights_sha256"])
    seconds = trained.value("train_seconds_by_phase")
    snapshots = timeline(run, trained.content, read_snapshots(kept_weights), kept_weights)
    check_comparable(run.network.shape, Result(run.path, run.identity), real, weights)
    net = load_inception(weights, real.value("features"), run.device)
    points = []
    for snapshot in snapshots:
        found = measure_point(run, snapshot, images, net, real, temperature, batch_size)
        points.append(found)
        print(", ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    content = {**run.identity, **protocol_of(real), "temperature": temperature}
    content |= {"likelihood_images": len(images), "base_seconds": sum(seconds[:-1])}
    content |= {"training_device": trained.value("provenance", "device"), "points": points}
    write_result(output, content, [run.path, kept_weights, training, reference, weights], run.provenance)
