"""FID, KID, precision, recall etc. of a run's samples, with all that the numbers depend on.

One pass of Inception; bootstrap draws of the first set's numbers are kept for comparing models.
"""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(
    *, samples: Path, reference: Path, weights: Path, batch_size: int, device: str, threads: int, output: Path
) -> None:
    """Measure by the protocol of the reference; bootstrap draws go to .npz next to `output`.

    Args:
        samples: npz file of the step sample
    """
    from vaeglow.config import without
    from vaeglow.data.arrays import require_images
    from vaeglow.evaluation.bootstrap import sample_draws
    from vaeglow.evaluation.fid import Reference
    from vaeglow.evaluation.trained import started
    from vaeglow.results import read_result, write_result

    on, provenance = started(device, threads)
    sampled = read_result(samples, ("images",))
    images = sampled.arrays["images"]
    compared = Reference.open(reference, weights, batch_size, on, sampled.content, image_shape=list(images.shape[1:]))
    real = compared.real
    count = real.value("images")  # in a set: as many samples as real images
    sets = real.value("sets")
    require_images(
        len(images),
        sets * count,
        f"{sampled.path} ({sampled.value('dataset')})",
        f"protocol {real.value('protocol')}",
        "choose a protocol with fewer images or sets, or draw more",
    )
    features, numbers = compared.measure_sets(images)
    content = without(sampled.content, {"provenance": None, "inputs": None}) | compared.record
    run = [content[key] for key in ("dataset", "protocol", "model", "seed")]
    draws = sample_draws(features, real.arrays["features"], run)
    single = {name: values.astype("float32") for name, values in draws.items()}
    arrays = output.with_suffix(".npz")
    write_result(arrays, content, [sampled, weights], provenance, single)
    content |= {"samples_provenance": sampled.value("provenance"), **numbers}
    write_result(output, content, [read_result(arrays)], provenance)  # with its inputs, which are hashed once
    text = "FID {fid:.2f}, KID {kid:.4f} +- {kid_standard_error:.4f}, precision {precision:.2f}, recall {recall:.2f}"
    print(f"{text.format(**numbers)} ({sets} x {count} samples against {count} images)")
