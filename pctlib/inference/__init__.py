"""Trained networks at work: prediction in boxes, and compiled for speed."""
