"""Whether one run is better than another, or only luckier."""
