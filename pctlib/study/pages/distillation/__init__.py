"""The page `distillation` of the study."""
