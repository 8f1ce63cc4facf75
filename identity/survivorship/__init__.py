"""Which value of a trait counts where sources disagree, and every value that a trait had. R: B5, C4"""
