"""Procedural people: made pictures of people of whom everything is known.

`generate` writes a data set in the COCO formats, `read_procedural` reads it back, `render_person` makes one
picture, `Occlusion` says how much of a person is hidden and by what.
"""

from pctlib.data.procedural.generate import generate, load_3d
from pctlib.data.procedural.occluders import Occlusion
from pctlib.data.procedural.reader import read_procedural
from pctlib.data.procedural.scene import Sample, render_person

__all__ = ["Occlusion", "Sample", "generate", "load_3d", "read_procedural", "render_person"]
