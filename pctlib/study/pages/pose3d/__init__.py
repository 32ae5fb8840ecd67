"""Page 14: poses in 3D."""
