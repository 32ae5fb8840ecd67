"""The training loop and what it stands on: plan, optimiser, resume, device, launch."""
