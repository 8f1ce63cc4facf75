"""Merging and parting profiles by hand, with a look at what follows before anything happens. R: C2, C4"""
