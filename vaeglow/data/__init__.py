"""Datasets: where they come from, how they become arrays, how the arrays become batches."""
