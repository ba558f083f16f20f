"""Speed and memory of vaeglow beside its peers: `python -m benchmarks` (docs/benchmark.md). Not part of the package."""
