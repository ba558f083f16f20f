"""How a model's optimiser, rate and warm-up were chosen: bits/dim of validation images beside each that was tried."""

from vaeglow.reporting.columns import Column, mean, named, same
from vaeglow.reporting.frame import first

READS = ("training", "config")
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
TRIED = {"optimizer": "Optimiser", "learning_rate": "Rate", "warmup_epochs": "Warm-up (epochs)"}
COLUMNS = named(
    """
    model optimizer learning_rate warmup_epochs epochs val_bits_per_dim skipped_steps train_cpu_seconds
    source dataset preset seeds device commit run train_seconds val_bits_per_dim_sd origin
    """,
    *(
        Column(key, lambda lines, key=key: str(first(lines, f"config.training.{key}")), name)
        for key, name in TRIED.items()
    ),
    mean("training.val_bits_per_dim", 4, "val bits/dim", null=True),
    same("training.skipped_steps", "Steps skipped"),
)
SHOWN = "model optimizer learning_rate warmup_epochs epochs val_bits_per_dim skipped_steps train_cpu_seconds"
