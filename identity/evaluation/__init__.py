"""Whether matching can be trusted, or why not: measured on labels and on uploaded truth, laid open otherwise. R: C2"""
