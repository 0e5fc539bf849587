"""The families of encoders: one file each, which alone names a backbone's attributes."""
