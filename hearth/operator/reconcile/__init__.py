"""Reconcilers: what is planned is applied."""
