"""The small backbones that come with the package: their people, their training, their cards."""
