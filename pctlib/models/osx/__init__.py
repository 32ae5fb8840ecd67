"""OSX: the whole body as a mesh, from one picture in one pass.

Source: Lin et al. 2023, One-Stage 3D Whole-Body Mesh Recovery with Component Aware Transformer,
arXiv:2303.16160, and release (github.com/IDEA-Research/OSX).
"""
