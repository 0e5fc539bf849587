"""Tests whether one run is better than another, or whether the difference is noise."""
