"""Speed, as ratios to plain references in the same run: `make bench`."""
