"""Procedural people: an articulated body, posed, dressed, rendered and annotated exactly."""
