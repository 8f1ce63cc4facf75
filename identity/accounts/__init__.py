"""Accounts: the companies, households or teams that people belong to, as `group` messages tell of them."""
