"""Segments: definitions, who is in them, and every entry and exit."""
