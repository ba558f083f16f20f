"""How a model's optimiser, rate and warm-up were chosen: bits/dim of validation images beside each that was tried."""

from vaeglow.reporting.columns import in_order, same, seed_mean
from vaeglow.reporting.frame import PLAIN_ROWS

READS = ("training", "config")
SCHEMA = PLAIN_ROWS
COLUMNS = in_order(
    """
    model optimizer learning_rate warmup_epochs epochs val_bits_per_dim skipped_steps train_cpu_seconds
    source dataset preset seeds device commit run train_seconds val_bits_per_dim_sd origin
    """,
    same("config.training.optimizer", "Optimiser"),
    same("config.training.learning_rate", "Rate"),
    same("config.training.warmup_epochs", "Warm-up (epochs)"),
    seed_mean("training.val_bits_per_dim", 4, "val bits/dim", null=True),
    same("training.skipped_steps", "Steps skipped"),
)
SHOWN = "model optimizer learning_rate warmup_epochs epochs val_bits_per_dim skipped_steps train_cpu_seconds"
