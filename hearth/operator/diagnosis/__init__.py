"""Diagnosis: what keeps a service from being ready, from what is observed of it."""
