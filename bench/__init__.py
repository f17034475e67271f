"""Benchmarks: side by side with a floor or a peer, in one run, as ratios of CPU time."""
