"""Identity: which identifiers are one person, and what is known of that person."""
