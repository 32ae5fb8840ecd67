"""Whole-body meshes: OSX and what it replaces."""
