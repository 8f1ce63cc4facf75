"""Tracking plans: what a source says it sends, and what happens to messages that say otherwise. R: B1, G6"""
