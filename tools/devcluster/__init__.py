"""A single-node Kubernetes with KEDA in namespaces of this machine, for development and end-to-end tests.

No container engine, no registry: Debian packages, Go programs built once, and images made of static binaries.
Only the standard library is used, so that it runs before anything is installed.
"""
