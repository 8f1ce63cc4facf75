"""Segments whose members are given: by hand, by upload of a list, by the API. R: D7"""
