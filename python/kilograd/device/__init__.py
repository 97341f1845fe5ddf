"""Boards: building firmware, running it, talking to it."""
