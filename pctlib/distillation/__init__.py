"""What a student learns from a teacher: DWPose's two stages, ViTPose's knowledge token."""
