"""Procedural people: made pictures of people of whom everything is known.

`generate` writes a data set in the COCO formats, `render_person` makes one picture, `Occlusion` says how much
of a person is hidden and by what.
"""

from pctlib.data.procedural.generate import generate, load_3d
from pctlib.data.procedural.occluders import Occlusion
from pctlib.data.procedural.scene import Sample, render_person

__all__ = ["Occlusion", "Sample", "generate", "load_3d", "render_person"]
