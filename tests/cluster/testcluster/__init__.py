"""A real one-node Kubernetes cluster for the tests, inside its own namespaces. See tests/cluster/README.md."""
