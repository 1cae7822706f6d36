"""Benchmarks of Hearth beside its peers, and of Hearth alone."""
