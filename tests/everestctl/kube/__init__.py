"""The Kubernetes API and the file that says where it is."""
