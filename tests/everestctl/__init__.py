"""The simulated everestctl: answers as recordings of the real one, and keeps its state in the cluster.

Standard library only and few imports, because it is started thousands of times: `typing` and `socket` alone would be a
third of a start. So what is for the type checker is imported for it alone, and a command when it is asked for.

All state is in the Kubernetes API that the kubeconfig names: the accounts Secret, the namespace and its labels, Helm's
release Secrets, subscriptions, `everest-rbac`. Where that API is the simulated one, it also says which faults are asked
for and plays the hook Jobs; on a real API somebody else must play them.

It plays 1.10.0 or what `EVERESTCTL_VERSION` says, else what the simulated API says.
"""
