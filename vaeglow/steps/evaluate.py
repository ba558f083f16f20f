"""FID, KID, precision, recall etc. of a run's samples, with all that the numbers depend on.

One pass of Inception; bootstrap draws of the first set's numbers are kept for comparing models.
"""

import sys
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
    from vaeglow.data.arrays import require_images
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation import fid
    from vaeglow.evaluation.bootstrap import sample_draws
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.results import collect, read_result, write_result

    set_threads(threads)
    on = pick_device(device)
    provenance = collect(str(on))
    sampled = read_result(samples, ("images",))
    images, alike = sampled.arrays["images"], {key: sampled.value(key) for key in ("dataset", "data_sha256")}
    real = read_result(reference, None, **alike, image_shape=list(images.shape[1:]))
    protocol = fid.protocol_of(real)
    count, sets = real.value("images"), real.value("sets")  # a set: as many samples as real images
    user, remedy = f"protocol {protocol['protocol']}", "choose a protocol with fewer images or sets, or draw more"
    require_images(len(images), sets * count, f"{sampled.path} ({sampled.value('dataset')})", user, remedy)
    net = load_inception(weights, protocol["fid_features"], on)
    features, found = fid.measure_sets(images, net, real, batch_size, on)
    about = {key: value for key, value in sampled.content.items() if key not in ("provenance", "inputs")} | protocol
    inputs, arrays = [sampled, weights], output.with_suffix(".npz")
    run = [about[key] for key in ("dataset", "protocol", "model", "seed")]
    draws = sample_draws(features, real.arrays["features"], run)
    write_result(arrays, about, inputs, provenance, {name: one.astype("float32") for name, one in draws.items()})
    about["samples_provenance"] = sampled.value("provenance")
    write_result(output, about | found, [*inputs, arrays], provenance)
    print(
        f"FID {found['fid']:.2f}, KID {found['kid']:.4f} +- {found['kid_standard_error']:.4f}, precision "
        f"{found['precision']:.2f}, recall {found['recall']:.2f} ({sets} x {count} samples against {count} images)",
        file=sys.stderr,
    )
