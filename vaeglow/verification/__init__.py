"""Re-hash a results folder and say what no longer matches; `python -m vaeglow.verify` is its command. No torch."""
