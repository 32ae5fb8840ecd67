"""The heatmap backbone."""
