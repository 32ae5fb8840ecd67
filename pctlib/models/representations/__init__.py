"""Pose representations: how a pose is written as the output of a network."""
