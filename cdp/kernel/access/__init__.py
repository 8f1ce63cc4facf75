"""Who may do what: people with roles in the browser, tokens with scopes over the API."""
