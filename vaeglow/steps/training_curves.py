"""Draw one run's training: loss terms, bits/dim, learning rate, gradient norm and speed against epochs."""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(*, history: Path, training: Path, output: list[Path]) -> None:
    """Read, check, draw; write .png or .pdf.

    Args:
        history: the run's history.csv
    """
    from vaeglow.reporting import style
    from vaeglow.reporting.training_curves import draw

    style.save(draw(history, training), *output)
