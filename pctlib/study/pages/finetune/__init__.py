"""Fine-tuning official weights, or a run of the study, on a few images."""
