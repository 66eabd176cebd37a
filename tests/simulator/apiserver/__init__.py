"""The Kubernetes API as kubectl, client-go and Helm speak it, without anything of Everest."""
