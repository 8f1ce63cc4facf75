"""What a set of people is like: by traits, beside other segments, in the past; and its members taken out. R: D1, D8"""
