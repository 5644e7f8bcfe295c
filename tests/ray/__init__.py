"""Predictions on Ray, which an extra of their own installs."""
