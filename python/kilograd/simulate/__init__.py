"""Plans on the host: the same integers as on the device."""
