"""Status: what is observed of a service becomes conditions and Events."""
