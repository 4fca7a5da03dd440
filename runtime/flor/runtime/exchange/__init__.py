"""Values to and from other trackers: see docs/interfaces.md."""
