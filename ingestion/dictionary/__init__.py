"""The data dictionary: what every event, property and trait means, and how personal it is. R: A7, G9"""
