"""Kubeconfigs: the simulated cluster's, and those that do not work."""

from pathlib import Path

NAME = "simulated-everest"  # by which a handler knows that its results are simulated


def write_kubeconfig(path: Path, server: str, *, certificate: str | None = None, token: str | None = None) -> Path:
    """Without a token the user has no credentials: enough over plain HTTP; over TLS kubectl asks for a name."""
    user = f"user:\n    token: {token}" if token else "user: {}"
    trust = f"    certificate-authority-data: {certificate}\n" if certificate else ""
    path.write_text(
        f"apiVersion: v1\nkind: Config\nclusters:\n- name: {NAME}\n  cluster:\n    server: {server}\n{trust}"
        f"users:\n- name: {NAME}\n  {user}\n"
        f"contexts:\n- name: {NAME}\n  context:\n    cluster: {NAME}\n    user: {NAME}\n"
        f"current-context: {NAME}\n"
    )
    path.chmod(0o600)
    return path
