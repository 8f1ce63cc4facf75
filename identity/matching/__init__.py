"""Probabilistic matching: which records are one person, and why. Pure: no Django, no database. R: C2, B4"""
