"""Calls by which scripts log already, as data: docs/capture.md."""
