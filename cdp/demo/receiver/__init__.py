"""A webhook receiver on this machine: it checks signatures, shows what arrives, and fails when asked to."""
