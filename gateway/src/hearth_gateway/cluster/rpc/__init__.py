"""The messages of the gRPC services. `make protos` writes the `_pb2` modules from the `.proto` files; do not edit them."""

from __future__ import annotations
