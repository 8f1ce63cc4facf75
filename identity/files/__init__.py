"""Matching the rows of a file: read as text, match, write the same rows with a cluster each. No Django. R: C2"""
