"""The API server: client, connection, kinds, errors, leader election and Events."""
