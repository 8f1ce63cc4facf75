"""Activation: sending what segments say to the tools that act on it."""
