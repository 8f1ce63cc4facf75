"""The demo: real shoppers, sent through the same HTTP API as anybody's data."""
