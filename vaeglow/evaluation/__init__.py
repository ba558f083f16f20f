"""Measuring trained models: likelihood, samples, FID."""
