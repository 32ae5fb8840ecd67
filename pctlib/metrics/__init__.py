"""Evaluation protocols of the benchmarks."""
