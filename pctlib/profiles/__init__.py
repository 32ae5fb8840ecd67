"""Sizes and schedules of a study, validated."""
