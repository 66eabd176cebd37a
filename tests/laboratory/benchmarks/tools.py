"""everestctl, kubectl and an RBAC command as small shell scripts: an Everest whose commands cost a set time.

What the workflow looks at is there: versions, and the accounts and namespaces that were created. So the real workflow
runs, all of it, and its time is its own. The hash of an account is that of its password: nothing less is believed.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_EVERESTCTL = """\
#!/bin/sh
case "$1 $2" in
"version ")
  printf 'Version: 1.10.0\\nServerVersion: 1.10.0\\n'
  {tell} ;;
"accounts create")
  : > "{accounts}/$4"
  entry="$4:
  enabled: true
  passwordHash: !!binary $({python} -I -S -c "{hashing}" "$6")"
  while [ $((${{#entry}} % 3)) != 2 ]; do entry="$entry "; done  # accounts that can be encoded one by one
  printf '%s\n' "$entry" | base64 -w 0 >> "{store}" ;;
"accounts list") for file in "{accounts}"/*; do printf '%s\\n' "${{file##*/}}"; done ;;
esac
{pause}
"""
_HASHING = (
    "import base64, hashlib, sys; "
    "print(base64.b64encode(hashlib.pbkdf2_hmac('sha256', sys.argv[1].encode(), b'{salt}', 4096, 32)).decode())"
)
_SALT = "bench"  # the UID of everest-system
# Without a process of its own: what it does in the shell costs next to nothing. (To create an account takes one.)
_KUBECTL = """\
#!/bin/sh
case "$1 $2" in
"create -f")
  IFS= read -r manifest
  case $manifest in *'"kind": "Namespace"'*)
    name=${{manifest#*'"name": "'}}
    metadata=${{manifest#*'"metadata": {{'}}
    printf '{{"metadata": {{"resourceVersion": "1", %s' "$metadata" > "{namespaces}/${{name%%'"'*}}" ;;
  esac ;;
"get ns")
  case $3 in everest-system) printf '{{"metadata": {{"resourceVersion": "1", "uid": "{salt}"}}}}'; {pause} ;; esac
  name=${{4#*'=="'}}
  IFS= read -r found < "{namespaces}/${{name%%'"'*}}"
  printf '%s' "$found" ;;
"get secret")
  case $3 in everest-accounts)
    IFS= read -r users < "{store}"
    printf '{{"metadata": {{"resourceVersion": "1"}}, "data": {{"users.yaml": "%s"}}}}' "$users" ;;
  esac ;;
esac 2> /dev/null
{pause}
"""
_STORE = "users.yaml.base64"
_SILENT = "#!/bin/sh\n{pause}\n"
_KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: bench
contexts: [{name: bench, context: {cluster: bench, user: bench}}]
clusters: [{name: bench, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: bench, user: {token: none}}]
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """`variables` make a handler use them."""

    folder: Path

    @property
    def variables(self) -> Mapping[str, str]:
        return {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "EVEREST_RBAC_APPLY_CMD": "apply-rbac --file {file}",
        }

    def forget(self) -> None:
        """Nothing exists any more: a list does not grow from round to round."""
        for kept in ("accounts", "namespaces"):
            for file in (self.folder / kept).iterdir():
                file.unlink()
        (self.folder / _STORE).write_text("")


def make_tools(folder: Path, *, pause_seconds: float = 0, first_command: Path | None = None) -> Tools:
    """Each command takes so long beside its own start. `first_command` is a FIFO that the first of a job tells."""
    accounts, namespaces, store = folder / "accounts", folder / "namespaces", folder / _STORE
    for kept in (accounts, namespaces):
        kept.mkdir(parents=True)
    store.write_text("")
    pause = f"exec sleep {pause_seconds}" if pause_seconds else "exit 0"
    tell = f": > '{first_command}'" if first_command else ":"
    _write(
        folder / "everestctl",
        _EVERESTCTL.format(
            accounts=accounts,
            store=store,
            tell=tell,
            pause=pause,
            python=sys.executable,
            hashing=_HASHING.format(salt=_SALT),
        ),
    )
    _write(folder / "kubectl", _KUBECTL.format(namespaces=namespaces, store=store, pause=pause, salt=_SALT))
    _write(folder / "apply-rbac", _SILENT.format(pause=pause))
    (folder / "kubeconfig").write_text(_KUBECONFIG)
    return Tools(folder)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
