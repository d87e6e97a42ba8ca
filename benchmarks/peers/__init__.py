"""The speed of the sequential driver against a hand-written C twin: `python -m gmembench.benchmarks.peers`."""
