"""A real one-node Kubernetes cluster for the tests, in its own namespaces: see tests/cluster/README.md."""
