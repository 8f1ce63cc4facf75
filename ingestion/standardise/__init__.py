"""Rules that give the values of a source one spelling. R: B3, A7"""
