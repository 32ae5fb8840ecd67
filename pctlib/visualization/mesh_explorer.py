"""Controls for JupyterLab: pick a person and a method, turn the mesh, and see it at once."""

from collections.abc import Mapping, Sequence

import ipywidgets
import matplotlib as mpl
import numpy as np

from pctlib.visualization.meshes import FOUND_COLOR, draw_mesh, png, view

_SIDE = 420
TRUTH, DISTANCE = "truth", "distance in colours"


class MeshExplorer(ipywidgets.VBox):
    """One mesh from any side; redrawn by the kernel at every choice.

    Attributes:
        person: which.
        method: whose mesh, or the truth.
        yaw: degrees about the vertical.
        pitch: degrees of tilt.
        colors: colour each vertex by its distance from the truth.
        picture: PNG.
        words: mean distance.

    Args:
        meshes: method -> [N, V, 3] millimetres about the pelvis, x right, y down, z away.
        truth: [N, V, 3].
        faces: [F, 3].
        names: of the N people.

    Raises:
        ValueError: if there is no method, or numbers of people differ.
    """

    def __init__(
        self,
        meshes: Mapping[str, np.ndarray],
        truth: np.ndarray,
        faces: np.ndarray,
        names: Sequence[str],
    ) -> None:
        if (
            not meshes
            or any(mesh.shape != truth.shape for mesh in meshes.values())
            or len(names) != len(truth)
        ):
            shapes = {name: mesh.shape for name, mesh in meshes.items()}
            raise ValueError(f"meshes: expected some of shape {truth.shape} and as many names, got {shapes}")
        self._meshes, self._truth, self._faces = {TRUTH: truth, **meshes}, truth, faces
        wide = {"layout": ipywidgets.Layout(width="26em"), "style": {"description_width": "4em"}}
        people = [(name, row) for row, name in enumerate(names)]
        self.person = ipywidgets.Dropdown(options=people, value=0, description="person", **wide)
        first = next(iter(meshes))
        self.method = ipywidgets.Dropdown(options=list(self._meshes), value=first, description="mesh", **wide)
        self.yaw = ipywidgets.IntSlider(0, -180, 180, description="turn", **wide)
        self.pitch = ipywidgets.IntSlider(0, -90, 90, description="tilt", **wide)
        self.colors = ipywidgets.Checkbox(False, description=DISTANCE)
        self.picture = ipywidgets.Image(format="png", width=_SIDE)
        self.words = ipywidgets.Label()
        controls = [self.person, self.method, self.yaw, self.pitch, self.colors]
        super().__init__([*controls, self.words, self.picture])
        for control in controls:
            control.observe(self._draw, "value")
        self._draw()

    def _draw(self, change: object = None) -> None:
        mesh, truth = self._meshes[self.method.value][self.person.value], self._truth[self.person.value]
        distance = np.linalg.norm(mesh - truth, axis=-1)
        self.words.value = f"mean distance from the truth, pelvis on pelvis: {distance.mean():.0f} mm"
        self.picture.value = png(self._paint(mesh, distance))

    def _paint(self, mesh: np.ndarray, distance: np.ndarray) -> np.ndarray:
        yaw, pitch = np.deg2rad(self.yaw.value), np.deg2rad(self.pitch.value)
        about = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        tilt = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        turned = mesh @ (tilt @ about).T
        color = np.array(mpl.colors.to_rgb(FOUND_COLOR))
        if self.colors.value:
            color = mpl.colormaps["viridis"](np.clip(distance / 300, 0, 1))[:, :3]
        pixels = view(turned, axes=(0, 1, 2), reach=1.1 * np.abs(turned).max(), side=_SIDE)
        return draw_mesh(pixels, self._faces, color, size=(_SIDE, _SIDE))
