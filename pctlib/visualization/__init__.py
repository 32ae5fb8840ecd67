"""Figures: skeletons, galleries, curves."""
