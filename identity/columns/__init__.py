"""Traits of everybody as packed columns: what a question about the whole population reads in place of every row."""
