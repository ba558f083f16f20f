"""Speed and memory of vaeglow and its peers: `python -m benchmarks` (docs/benchmark.md). Not part of the package."""
