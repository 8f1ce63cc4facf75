"""How each profile's consent stands: the choices of its identifiers, judged by the policy and kept for segments."""
