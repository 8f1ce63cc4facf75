"""How many people are in the base more than once: exactly, and as far as the matcher knows. R: B4"""
