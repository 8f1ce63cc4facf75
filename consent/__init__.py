"""Consent: purposes, the append-only record of choices, and the policy that is asked at every door."""
