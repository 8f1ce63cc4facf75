"""How many a definition would have held on each of the past days, without computing it that often. R: D1, D8"""
