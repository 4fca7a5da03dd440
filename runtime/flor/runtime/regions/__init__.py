"""Skippable regions at run time: what recording one keeps, and what skipping one puts back."""
