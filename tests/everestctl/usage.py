"""The usage texts, as far as they were recorded."""

import os

CREATE_USAGE = """Usage:
  everestctl accounts create [flags]

Examples:
everestctl accounts create --username user1 --password $USER_PASS

Flags:
  -h, --help              help for create
  -p, --password string   Password of the account
  -u, --username string   Username of the account
"""
SET_PASSWORD_USAGE = """Usage:
  everestctl accounts set-password [flags]

Examples:
everestctl accounts set-password --username user1 --new-password $USER_PASS

Flags:
  -h, --help                  help for set-password
  -p, --new-password string   New password for the account
  -u, --username string       Username of the account
"""
ADD_USAGE = """Usage:
  everestctl namespaces add <namespaces> [flags]

Examples:
everestctl namespaces add ns-1,ns-2 --skip-wizard --operator.mysql=true --operator.postgresql=false \
--operator.mongodb=false

Flags:
      --helm.repository string   Helm chart repository to download the Everest charts from (default "{repository}")
      --helm.set strings         Set helm values on the command line \
(can specify multiple values with commas: key1=val1,key2=val2)
  -f, --helm.values strings      Specify values in a YAML file or a URL (can specify multiple)
  -h, --help                     help for add
      --operator.mongodb         Install MongoDB operator (default true)
      --operator.mysql           Install MySQL operator (default true)
      --operator.postgresql      Install PostgreSQL operator (default true)
      --skip-env-detection       Skip detecting Kubernetes environment where Everest is installed
      --skip-wizard              Skip installation wizard
      --take-ownership           If the specified namespace already exists, take ownership of it
"""
REMOVE_USAGE = """Usage:
  everestctl namespaces remove <namespaces> [flags]

Examples:
everestctl namespaces remove ns-1,ns-2 --keep-namespace

Flags:
      --force            If set, forcefully deletes database clusters in the namespace (if any)
  -h, --help             help for remove
      --keep-namespace   If set, preserves the Kubernetes namespace but removes all resources managed by Everest
"""
CAN_USAGE = """Usage:
  everestctl settings rbac can <subject> <action> <resource> <subresource> [flags]

Examples:
everestctl settings rbac can alice read database-clusters all

Flags:
  -h, --help                 help for can
      --policy-file string   Path to the policy file to use, otherwise use policy from Everest deployment.
"""
VERSION_USAGE = """Usage:
  everestctl version [flags]

Flags:
      --client-only   Print client version only
  -h, --help          help for version
"""
_ROOT_USAGE = """Usage:
  everestctl [command]

Available Commands:
  accounts    Manage Everest accounts
  completion  Generate the autocompletion script for the specified shell
  help        Help about any command
  install     Install Percona Everest using Helm
{commands}  uninstall   Uninstall Percona Everest
  upgrade     Upgrade Percona Everest using Helm
  version     Print Everest components version info

Flags:
  -h, --help                help for everestctl
{flags}
Use "everestctl [command] --help" for more information about a command.
"""
_RBAC_HELP = """Manage RBAC settings

Usage:
  everestctl settings rbac [command]

Available Commands:
  can         Test RBAC policy
  validate    Validate RBAC settings

Flags:
  -h, --help   help for rbac

Global Flags:
{flags}
Use "everestctl settings rbac [command] --help" for more information about a command.
"""


def with_global_flags(usage: str, repository: str) -> str:
    usage = usage.replace("{repository}", repository)
    return f"{usage}\nGlobal Flags:\n{_global_flags()}\n" if usage else ""


def root_usage(has_status: bool) -> str:
    managed = "Manage" if has_status else "Managed"  # the typo went when the command came
    commands = f"  namespaces  {managed} Everest database namespaces\n  settings    Configure Everest settings\n"
    commands += "  status      Show health status of Everest components\n" if has_status else ""
    return _ROOT_USAGE.format(commands=commands, flags=_global_flags())


def rbac_help() -> str:
    return _RBAC_HELP.format(flags=_global_flags())


def _global_flags() -> str:
    path = os.environ.get("KUBECONFIG") or os.path.join(os.environ.get("HOME", ""), ".kube/config")
    return (
        "      --json                Set output type to JSON\n"
        "  -k, --kubeconfig string   Path to a kubeconfig. If not set, will use KUBECONFIG env var "
        f'(default "{path}")\n  -v, --verbose             Enable Verbose mode\n'
    )
