"""Values that the script logs by itself: see docs/capture.md."""
