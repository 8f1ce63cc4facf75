"""Traits that follow from events, or from other traits, and are kept right to the second. R: D3, D5"""
