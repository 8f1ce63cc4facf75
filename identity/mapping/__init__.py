"""Which identifier leads to which profile: of one person, of all as pages, as a file, and as a picture. R: C4, C5"""
