"""The page `occlusion` of the study."""
