"""The simulated everestctl v1.10: answers as recordings of the real one, and keeps its state in the cluster.

Standard library only and few imports, because it is started thousands of times. All state is in the Kubernetes API that
the kubeconfig names: the accounts Secret, the namespace and its labels, Helm's release Secrets, subscriptions,
`everest-rbac`. Where that API is the simulated one, it also says which faults are asked for and plays the hook Job; on a
real API somebody else must play it (tests/laboratory/kubernetes.py).
"""

import json
import os
import re
import signal
import sys
import time

SYSTEM = "everest-system"
RESERVED = ("everest-system", "everest-monitoring", "everest-olm")
OPERATORS = {
    "mongodb": ("percona-server-mongodb-operator", "psmdb", "stable-v1", "v1.21.1"),
    "postgresql": ("percona-postgresql-operator", "postgresql", "stable-v2", "v2.7.0"),
    "xtradb-cluster": ("percona-xtradb-cluster-operator", "pxc", "stable-v1", "v1.18.0"),
}
DEPRECATED = "Flag --operator.xtradb-cluster has been deprecated, please use --operator.mysql instead\n"
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
COMMIT = "4f731536bde9126689f29628bd872e4fbdc5228f"
JOB = "everest-operators-installer"
# What the Role of the hook Job grants: whoever makes it must hold as much.
JOB_RIGHTS = (
    ("", ("namespaces",), ("get", "list", "patch", "update")),
    ("operators.coreos.com", ("installplans",), ("get", "list", "patch", "update", "watch")),
    ("operators.coreos.com", ("subscriptions", "clusterserviceversions"), ("get", "list", "watch")),
)
FRAMES = ("●∙∙", "∙●∙", "∙∙●", "∙∙∙")
FRAME_SECONDS = 0.14
REPOSITORY = "https://percona.github.io/percona-helm-charts/"
FACTORY_CACHE = "everestctl"


class Failed(Exception):
    """The command ends with code 1 and this text."""


class Usage(Exception):
    """A mistake in the command line: text and usage, then the text again."""

    def __init__(self, message, usage=""):
        super().__init__(message)
        self.usage = usage


class ApiError(Exception):
    """The API refused."""

    def __init__(self, status):
        super().__init__(status.get("message", "the server refused"))
        self.reason = status.get("reason", "")


# The Kubernetes API.


class Api:
    """A few calls over plain HTTP by hand (importing http.client doubles the start), TLS where the server wants it."""

    def __init__(self, path):
        cluster, user = read_kubeconfig(path)
        self.server = cluster["server"].rstrip("/")
        self.is_tls = self.server.startswith("https:")
        address, _, self.base = self.server.split("//", 1)[1].partition("/")
        self.base = f"/{self.base}" if self.base else ""
        host, _, port = address.partition(":")
        self.host, self.port = host, int(port or (443 if self.is_tls else 80))
        self.authorization = f"Bearer {user['token']}" if user.get("token") else None
        self.context = self._make_context(cluster, user) if self.is_tls else None
        self.is_discovered = False

    def get(self, path):
        """None where there is no such object."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.reason == "NotFound":
                return None
            raise

    def call(self, method, path, body=None, kind="application/json"):
        if not self.is_discovered:
            self.is_discovered = True
            self.discover()
        code, answer = self.request(method, path, body, kind)
        if code == 401:
            raise Failed("failed to get server groups: the server has asked for the client to provide credentials")
        value = json.loads(answer) if answer else {}
        if code >= 400:
            raise ApiError(value)
        return value

    def discover(self):
        """The real client asks for the groups before anything else, and fails there when the cluster is away."""
        code, _ = self.request("GET", "/api")
        if code == 401:
            raise Failed("failed to get server groups: the server has asked for the client to provide credentials")

    def request(self, method, path, body=None, kind="application/json"):
        connection = self.connect(path)
        try:
            self.send(connection, method, path, body, kind)
            return read_response(connection)
        except OSError as error:
            raise Failed(f'failed to get server groups: Get "{self.server}{path}": {error.strerror}: EOF') from None
        finally:
            connection.close()

    def connect(self, path):
        import socket

        try:
            connection = socket.create_connection((self.host, self.port), timeout=60)
        except OSError as error:
            reason = f"dial tcp {self.host}:{self.port}: connect: {(error.strerror or 'i/o timeout').lower()}"
            raise Failed(f'failed to get server groups: Get "{self.server}/api": {reason}') from None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is None:
            return connection
        try:
            return self.context.wrap_socket(connection, server_hostname=self.host)
        except OSError as error:
            connection.close()
            raise Failed(f'failed to get server groups: Get "{self.server}/api": {explain_tls(error)}') from None

    def send(self, connection, method, path, body, kind):
        payload = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {self.base}{path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Accept: application/json",
            "Connection: close",
            f"Content-Type: {kind}",
            f"Content-Length: {len(payload)}",
        ]
        if self.authorization:
            lines.append(f"Authorization: {self.authorization}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + payload)

    @staticmethod
    def _make_context(cluster, user):
        import base64
        import ssl
        import tempfile

        context = ssl.create_default_context()
        if "certificate-authority-data" in cluster:
            context.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        elif "certificate-authority" in cluster:
            context.load_verify_locations(cluster["certificate-authority"])
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
                pair.write(base64.b64decode(user["client-key-data"]))
                pair.flush()
                context.load_cert_chain(pair.name)
        elif "client-certificate" in user:
            context.load_cert_chain(user["client-certificate"], user["client-key"])
        return context


def explain_tls(error):
    """In Go's words."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    return f"tls: {error.strerror or error}"


def read_response(connection):
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        raise OSError(0, "unexpected EOF")
    if b"transfer-encoding: chunked" in head.lower():
        body = join_chunks(body)
    return int(head.split(b" ", 2)[1]), body


def join_chunks(body):
    joined = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        joined += body[:length]
        body = body[length + 2 :]
    return joined


NO_CONFIGURATION = (
    "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
)


def read_kubeconfig(path):
    """Cluster and user of the current context, from JSON or the YAML that kubectl writes."""
    try:
        with open(path) as file:
            text = file.read()
    except OSError as error:
        reason = error.strerror[0].lower() + error.strerror[1:]
        raise Failed(f"open {path}: {reason}\ncould not read kubeconfig file") from None
    config = json.loads(text) if text.lstrip().startswith("{") else read_yaml(text)
    named = {
        kind: {part["name"]: part for part in config.get(kind) or []} for kind in ("clusters", "users", "contexts")
    }
    context = named["contexts"].get(config.get("current-context"))
    if context is None:
        raise Failed(NO_CONFIGURATION)
    cluster = named["clusters"][context["context"]["cluster"]]["cluster"]
    user = named["users"].get(context["context"].get("user"), {}).get("user") or {}
    if "tokenFile" in user:
        with open(user["tokenFile"]) as file:
            user["token"] = file.read().strip()
    return cluster, user


def read_yaml(text):
    """The block YAML that kubectl and yaml.v2 write: maps, lists of maps or words, plain and quoted scalars."""
    lines = [line.rstrip() for line in text.split("\n")]
    lines = [
        (len(line) - len(line.lstrip()), line.lstrip())
        for line in lines
        if line.strip() and not line.lstrip().startswith("#")
    ]
    value, _ = read_block(lines, 0, lines[0][0] if lines else 0)
    return value or {}


def read_block(lines, at, indent):
    if at >= len(lines):
        return None, at
    if lines[at][1].startswith("- ") or lines[at][1] == "-":
        return read_sequence(lines, at, lines[at][0])
    return read_mapping(lines, at, indent)


def read_sequence(lines, at, indent):
    found = []
    while at < len(lines) and lines[at][0] == indent and lines[at][1].startswith("-"):
        rest = lines[at][1][1:].lstrip()
        if re.match(r"[^\"'\s][^:]*:( |$)", rest):
            inner = indent + len(lines[at][1]) - len(rest)
            value, at = read_mapping([*lines[:at], (inner, rest), *lines[at + 1 :]], at, inner)
        else:
            value, at = read_scalar(rest), at + 1
        found.append(value)
    return found, at


def read_mapping(lines, at, indent):
    found = {}
    while at < len(lines) and lines[at][0] == indent and not lines[at][1].startswith("- "):
        name, _, rest = lines[at][1].partition(":")
        rest = rest.strip()
        at += 1
        if rest:
            found[read_scalar(name)] = read_scalar(rest)
        elif at < len(lines) and (lines[at][0] > indent or (lines[at][0] == indent and lines[at][1].startswith("-"))):
            found[read_scalar(name)], at = read_block(lines, at, lines[at][0])
        else:
            found[read_scalar(name)] = None
    return found, at


def read_scalar(text):
    if text.startswith("!!binary "):
        import base64

        return base64.b64decode(text[9:].strip('"'))
    if text[:1] == '"' and text[-1:] == '"':
        return json.loads(text)
    if text[:1] == "'" and text[-1:] == "'":
        return text[1:-1].replace("''", "'")
    return {"true": True, "false": False, "{}": {}, "[]": [], "null": None}.get(text, text)


# Output.


class Console:
    """Pretty output, or one line of JSON an event."""

    def __init__(self, is_pretty, is_json):
        self.is_pretty = is_pretty
        self.is_json = is_json

    def say(self, text):
        if self.is_pretty:
            sys.stdout.write(text)

    def log(self, message, caller, component=None, level="info", **fields):
        if self.is_json:
            line = {"level": level, "T": now(), "logger": "everestctl", "caller": caller, "msg": message}
            if component:
                line["component"] = component
            sys.stderr.write(json.dumps({**line, **fields}, ensure_ascii=False, separators=(",", ":")) + "\n")
        elif not self.is_pretty:
            component = f'\t{{"component": "{component}"}}' if component else ""
            sys.stderr.write(f"{now()}\t{level.upper()}\teverestctl\t{caller}\t{message}{component}\n")

    def fail(self, message):
        if self.is_pretty:
            lines = message.replace("\t", "    ").split("\n")
            width = max(len(line) for line in lines)
            text = "\n".join(line.ljust(width) for line in lines) if len(lines) > 1 else message
            sys.stderr.write(f"❌ {text}\n\n")
        else:
            self.log(message, "output/command.go:39", level="error")


class Spinner:
    """What bubbletea writes into a pipe while a step runs."""

    def __init__(self, console):
        self.console = console
        self.frame = 0
        self.shown_at = 0.0
        self.title = ""
        self.is_open = False

    def start(self, title):
        self.title = title
        if not self.is_open:
            self.write("\x1b[?25l\x1b[?2004h\r")
            self.is_open = True
        self.write(f"{FRAMES[self.frame % 4]} {title}\r\n\r\nEsc/Ctrl+c quit\r\n\x1b[D")
        self.shown_at = time.monotonic()

    def turn(self):
        if time.monotonic() - self.shown_at >= FRAME_SECONDS:
            self.frame += 1
            self.shown_at = time.monotonic()
            self.write(f"\x1b[3A{FRAMES[self.frame % 4]} {self.title}\r\n\n\n\x1b[D")

    def end(self, mark):
        self.write(f"\x1b[3A{mark}  {self.title}\r\n\r")

    def close(self):
        self.write(" \x1b[J\x1b[D\x1b[2K\r\x1b[?2004l\x1b[?25h\x1b[?1002l\x1b[?1003l\x1b[?1006l")

    def quit(self):
        """On a signal: nothing says that the step has not ended."""
        self.write("\x1b[2K\r\x1b[?2004l\x1b[?25h\x1b[?1002l\x1b[?1003l\x1b[?1006l")

    def write(self, text):
        if self.console.is_pretty:
            sys.stdout.write(text)
            sys.stdout.flush()


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


# Accounts.

USERNAME = re.compile(r"[a-zA-Z0-9_]{3,}")
PASSWORD = re.compile(r"[a-zA-Z0-9@*#$%^&+=!_-]{6,}")
ACCOUNTS = f"/api/v1/namespaces/{SYSTEM}/secrets/everest-accounts"


def check_username(name):
    if not USERNAME.fullmatch(name):
        raise Failed("username may contain only letters, numbers, underscores, and must be at least 3 characters long")


def check_password(password):
    if not PASSWORD.fullmatch(password):
        raise Failed(
            "password may contain only letters, numbers and specific special characters (@*#$%^&+=!_-), "
            "and must be at least 6 characters long"
        )


def need_terminal():
    raise Failed("could not open a new TTY: open /dev/tty: no such device or address")


def read_accounts(api):
    import base64

    secret = api.call("GET", ACCOUNTS)
    text = base64.b64decode((secret.get("data") or {}).get("users.yaml", "")).decode()
    return secret, read_yaml(text) if text.strip() else {}


def write_accounts(api, secret, users):
    import base64

    secret["data"]["users.yaml"] = base64.b64encode(render_users(users).encode()).decode()
    api.call("PUT", ACCOUNTS, secret)


def render_users(users):
    import base64

    text = ""
    for name in sorted(users):
        user = users[name]
        text += f"{name}:\n  enabled: {str(user['enabled']).lower()}\n  capabilities:"
        text += "".join(f"\n  - {word}" for word in user["capabilities"]) or " []"
        hash_ = user["passwordHash"]
        shown = f"!!binary {base64.b64encode(hash_).decode()}" if isinstance(hash_, bytes) else hash_
        text += f'\n  passwordMtime: "{user.get("passwordMtime", "")}"\n  passwordHash: {shown}\n'
    return text


def hash_password(api, password):
    import hashlib

    try:
        salt = api.call("GET", f"/api/v1/namespaces/{SYSTEM}")["metadata"]["uid"]
    except ApiError as error:
        raise Failed(f"{error}\nfailed to get salt\nfailed to compute hash") from None
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 4096, 32)


def create_account(context, flags):
    name, password = flags["username"], flags["password"]
    if not name or (name and not USERNAME.fullmatch(name)):
        check_username(name) if name else need_terminal()
    if not password:
        need_terminal()
    check_password(password)
    api = context.open_api()
    context.console.log(f"Creating user '{name}'", "cli/accounts.go:97", "accounts")
    try:
        _, users = read_accounts(api)
    except (ApiError, Failed) as error:
        raise Failed(f"{error}\nfailed to check if account already exists") from None
    if name in users:
        raise Failed("user already exists")
    hash_ = hash_password(api, password)
    context.pause_race()
    secret, users = read_accounts(api)
    users[name] = {"enabled": True, "capabilities": ["login"], "passwordMtime": now(), "passwordHash": hash_}
    context.pause_race("write_race_seconds")
    write_accounts(api, secret, users)
    context.console.say(f"✅ User '{name}' has been created successfully\n\n")
    context.console.log(f"User '{name}' has been created succesfully", "cli/accounts.go:102", "accounts")


def list_accounts(context, flags):
    _, users = read_accounts(context.open_api())
    columns = [column for column in (flags["columns"] or "user,capabilities,enabled").split(",") if column]
    rows = []
    for name, user in users.items():
        values = {
            "user": name,
            "capabilities": f"[{' '.join(user.get('capabilities') or [])}]",
            "enabled": str(bool(user.get("enabled"))).lower(),
        }
        row = [values[column] for column in columns if column in values]
        rows.append(row + [""] * (len(columns) - len(row)))
    order = sorted(range(len(rows)), key=lambda _: os.urandom(4))  # a Go map's order
    print_table([column.upper() for column in columns], [rows[index] for index in order], flags["no-headers"])


def print_table(headers, rows, hides_headers=False):
    widths = [max(len(cell) for cell in column) + 2 for column in zip(headers, *rows, strict=True)]
    for row in rows if hides_headers else [headers, *rows]:
        sys.stdout.write("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n")


def set_password(context, flags):
    name, password = flags["username"], flags["new-password"]
    if not name or not password:
        need_terminal()
    check_username(name)
    check_password(password)
    api = context.open_api()
    context.console.log(f"Setting a new password for user '{name}'", "cli/accounts.go:127", "accounts")
    secret, users = read_accounts(api)
    if name not in users:
        raise Failed("account not found")
    users[name].update(passwordHash=hash_password(api, password), passwordMtime=now())
    (secret["metadata"].get("annotations") or {}).pop(f"insecure-password/{name}", None)
    write_accounts(api, secret, users)
    context.console.say(f"✅ Password for user '{name}' has been set successfully\n\n")


def delete_account(context, flags):
    name = flags["username"]
    if not name:
        need_terminal()
    check_username(name)
    api = context.open_api()
    _, users = read_accounts(api)
    if name not in users:
        raise Failed("account not found")
    del users[name]
    context.pause_race()
    secret, _ = read_accounts(api)  # the first map with the second version: a create between them is undone
    write_accounts(api, secret, users)
    context.console.say(f"✅ User '{name}' has been deleted successfully\n\n")


def show_initial_password(context, _):
    secret, users = read_accounts(context.open_api())
    if "insecure-password/admin" not in (secret["metadata"].get("annotations") or {}):
        raise Failed("cannot retrieve admin password after it has been updated")
    sys.stdout.write(f"{users['admin']['passwordHash']}\n")


# Namespaces.

NAMESPACE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
MANAGED = "app.kubernetes.io/managed-by"


def read_namespaces(text):
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise Failed("namespace list is empty. Specify at least one namespace")
    for name in found:
        if name in RESERVED:
            raise Failed(f"'{name}' namespace is reserved for Everest internals. Please specify another namespace")
        if not NAMESPACE.fullmatch(name):
            raise Failed(
                "'namespace name' is not RFC 1035 compatible. The name should contain only lowercase alphanumeric "
                "characters or '-', start with an alphabetic character, end with an alphanumeric character"
            )
    return found


def get_namespace(api, name):
    try:
        return api.get(f"/api/v1/namespaces/{name}")
    except (ApiError, Failed) as error:
        raise Failed(f"cannot check if namesapce exists: {error}") from None


def is_managed(namespace):
    return namespace is not None and (namespace["metadata"].get("labels") or {}).get(MANAGED) == "everest"


def read_operators(flags):
    wanted = {name: flags[f"operator.{name}"] for name in OPERATORS}
    if flags.given_last == "operator.mysql":
        wanted["xtradb-cluster"] = flags["operator.mysql"]
    if not flags.names_operators and not flags["skip-wizard"]:
        need_terminal()
    return [name for name, is_wanted in wanted.items() if is_wanted]


def add_namespaces(context, flags, text):
    names = read_namespaces(text)
    api = context.open_api()
    for name in names:
        found = get_namespace(api, name)
        if is_managed(found):
            raise Failed(f"'{name}': namespace already exists and is managed by Everest")
        if found is not None and not flags["take-ownership"]:
            raise Failed(
                f"'{name}': namespace already exists. HINT: set '--take-ownership' flag to use existing namespaces"
            )
    provision(context, api, names, read_operators(flags), "Provisioning database namespace")


def update_namespaces(context, flags, text):
    names = read_namespaces(text)
    api = context.open_api()
    for name in names:
        if not is_managed(get_namespace(api, name)):
            raise Failed(f"'{name}': namespace is not managed by Everest")
    if not flags.names_operators:
        raise Failed("can't ask user for operators to install: interactive mode is disabled")
    operators = read_operators(flags)
    if operators:
        warn_of_removal(api, names, operators)
    provision(context, api, names, operators, "Updating database namespace")


def warn_of_removal(api, names, operators):
    for name in names:
        present = {sub["metadata"]["name"] for sub in list_subscriptions(api, name)}
        if any(OPERATORS[operator][0] in present for operator in OPERATORS if operator not in operators):
            sys.stdout.write("⚠️  Removal of an installed operator is not supported. Proceeding without removal.\n")


def provision(context, api, names, operators, title):
    if not operators:
        raise Failed("no operators selected for installation. Minimum one operator must be selected")
    check_everest(api)
    detect_environment(api)
    context.console.log("Detected Kubernetes environment: generic", "namespaces/add.go:255", "namespace-adder")
    spinner = Spinner(context.console)
    context.spinner = spinner
    for name in names:
        shown = f"{title} '{name}'"
        spinner.start(shown)
        try:
            install(context, api, name, operators, spinner)
        except (Failed, ApiError) as error:
            spinner.end("❌")
            spinner.close()
            context.spinner = None
            context.console.log(
                "Error occurred during step execution", "tui/spinner.go:249", "namespace-adder", "error",
                step=shown, error=str(error),
            )  # fmt: skip
            raise Failed(str(error)) from None
        spinner.end("✅")
    spinner.close()
    context.spinner = None


def check_everest(api):
    for name in ("everest-server", "percona-everest"):
        try:
            found = api.get(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/{name}")
        except ApiError as error:
            raise Failed(f"{error}\nfailed to get Everest version") from None
        if found:
            return found["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
    raise Failed("everest is not installed in the cluster")


def detect_environment(api):
    try:
        api.get("/api/v1/namespaces/openshift-marketplace")
        api.call("GET", "/apis/storage.k8s.io/v1/storageclasses")
    except ApiError as error:
        raise Failed(f"failed to detect Kubernetes environment: failed to detect cluster type: {error}") from None


def resolve_chart(context):
    folder = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME") and os.path.join(os.environ["HOME"], ".cache"))
    prefix = "could not initialize Helm installer: failed to resolve Helm chart: "
    if not folder:
        raise Failed(prefix + "neither $XDG_CACHE_HOME nor $HOME are defined")
    if context.faults.get("chart_unreachable"):
        raise Failed(
            f'{prefix}looks like "{REPOSITORY}" is not a valid chart repository or cannot be reached: '
            f'Get "{REPOSITORY}index.yaml": dial tcp: lookup percona.github.io: no such host'
        )


def install(context, api, name, operators, spinner):
    resolve_chart(context)
    if len(name) > 53:
        raise Failed(f"releaseContent: Release name is invalid: {name}")
    context.console.log(
        f"Installing DB namespace Helm chart in namespace {name}", "namespaces/add.go:402", "namespace-adder"
    )
    releases = list_releases(api, name)
    newest = releases[-1] if releases else None
    status = newest["metadata"]["labels"]["status"] if newest else None
    if status and status.startswith("pending"):
        raise Failed("another operation (install/upgrade/rollback) is in progress")
    context.pause_race()
    number = int(newest["metadata"]["labels"]["version"]) + 1 if newest else 1
    if not newest and api.get(f"/api/v1/namespaces/{name}") is None:
        ensure(api, "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"name": name}}}, "v1", "Namespace")
    release = create_release(api, name, number, "pending-upgrade" if newest else "pending-install")
    create_objects(api, name, operators)
    run_job(context, api, name, spinner, release, is_upgrade=newest is not None)
    if newest:
        set_status(api, name, newest["metadata"]["name"], "superseded")
    set_status(api, name, release, "deployed")


def list_releases(api, name):
    found = api.call("GET", f"/api/v1/namespaces/{name}/secrets?labelSelector=owner%3Dhelm,name%3D{name}")["items"]
    return sorted(found, key=lambda secret: int(secret["metadata"]["labels"]["version"]))


def create_release(api, name, number, status):
    secret = f"sh.helm.release.v1.{name}.v{number}"
    labels = {
        "owner": "helm",
        "name": name,
        "status": status,
        "version": str(number),
        "modifiedAt": str(int(time.time())),
    }
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {"name": secret, "labels": labels},
        "data": {"release": "c2ltdWxhdGVk"},
    }
    try:
        api.call("POST", f"/api/v1/namespaces/{name}/secrets", body)
    except ApiError as error:
        if error.reason == "AlreadyExists":
            raise Failed("release: already exists") from None
        raise Failed(f"create: failed to create: {error}") from None
    return secret


def set_status(api, name, secret, status):
    """Helm reads and updates; it has no right to patch."""
    path = f"/api/v1/namespaces/{name}/secrets/{secret}"
    release = api.call("GET", path)
    release["metadata"]["labels"]["status"] = status
    api.call("PUT", path, release)


def ensure(api, path, body, version, kind):
    try:
        api.call("POST", path, {"apiVersion": version, "kind": kind, **body})
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


def create_objects(api, name, operators):
    """In Helm's order; the Job's rights come and go with its hook."""
    olm = f"/apis/operators.coreos.com/v1/namespaces/{name}/operatorgroups"
    group = {"metadata": {"name": "everest-databases"}, "spec": {"targetNamespaces": [name]}}
    ensure(api, olm, group, "operators.coreos.com/v1", "OperatorGroup")
    for operator in operators:
        package, _, channel, _ = OPERATORS[operator]
        spec = {"name": package, "channel": channel, "installPlanApproval": "Manual", "source": "everest-catalog"}
        metadata = {"name": package, "annotations": {"helm.sh/resource-policy": "keep"}}
        path = f"/apis/operators.coreos.com/v1alpha1/namespaces/{name}/subscriptions"
        ensure(api, path, {"metadata": metadata, "spec": spec}, "operators.coreos.com/v1alpha1", "Subscription")
    ensure(api, f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": JOB}}, "v1", "ServiceAccount")
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}"
    rules = [
        {"apiGroups": [group], "resources": list(kinds), "verbs": list(verbs)} for group, kinds, verbs in JOB_RIGHTS
    ]
    ensure(api, f"{rbac}/roles", {"metadata": {"name": JOB}, "rules": rules}, "rbac.authorization.k8s.io/v1", "Role")
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": JOB}
    subjects = [{"kind": "ServiceAccount", "name": JOB, "namespace": name}]
    binding = {"metadata": {"name": JOB}, "roleRef": reference, "subjects": subjects}
    ensure(api, f"{rbac}/rolebindings", binding, "rbac.authorization.k8s.io/v1", "RoleBinding")


def list_subscriptions(api, name):
    return api.call("GET", f"/apis/operators.coreos.com/v1alpha1/namespaces/{name}/subscriptions")["items"]


def run_job(context, api, name, spinner, release, is_upgrade):
    """Creates the hook Job and waits for it: without any limit, as Helm is told to."""
    path = f"/apis/batch/v1/namespaces/{name}/jobs"
    if api.get(f"{path}/{JOB}"):
        delete(api, f"{path}/{JOB}")
    container = {"name": "installer", "image": "percona/everest-helmtools:0.0.1"}
    template = {"spec": {"serviceAccountName": JOB, "restartPolicy": "OnFailure", "containers": [container]}}
    ensure(api, path, {"metadata": {"name": JOB}, "spec": {"template": template}}, "batch/v1", "Job")
    while True:
        job = api.get(f"{path}/{JOB}")
        status = (job or {}).get("status") or {}
        if job is None or status.get("succeeded"):
            break
        if status.get("failed"):
            set_status(api, name, release, "failed")
            hook = "post-upgrade hooks failed" if is_upgrade else "failed post-install"
            raise Failed(f"{hook}: 1 error occurred:\n\t* job {JOB} failed: BackoffLimitExceeded\n\n")
        spinner.turn()
        time.sleep(0.02)
    for kind, base in (("jobs", path), ("serviceaccounts", f"/api/v1/namespaces/{name}/serviceaccounts")):
        del kind
        try:
            delete(api, f"{base}/{JOB}")
        except ApiError:
            continue
    for kind in ("rolebindings", "roles"):
        try:
            api.call("DELETE", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/{kind}/{JOB}")
        except ApiError:
            continue


def delete(api, path):
    """As Helm does. Without the policy a Job would wait for the garbage collector to orphan its pods."""
    api.call("DELETE", path, {"propagationPolicy": "Background"})


def remove_namespaces(context, flags, text):
    names = read_namespaces(text)
    api = context.open_api()
    for name in names:
        found = get_namespace(api, name)
        if found is None:
            raise Failed(f"'{name}': namespace does not exist")
        if not is_managed(found):
            raise Failed(f"'{name}': namespace is not managed by Everest")
    spinner = Spinner(context.console)
    context.spinner = spinner
    for name in names:
        for what in ("database clusters", "backup storages", "monitoring instances"):
            spinner.start(f"Deleting {what} in namespace '{name}'")
            spinner.end("✅")
        keep = flags["keep-namespace"]
        spinner.start(
            f"Deleting resources from namespace '{name}'" if keep else f"Deleting database namespace '{name}'"
        )
        for release in list_releases(api, name):
            api.call("DELETE", f"/api/v1/namespaces/{name}/secrets/{release['metadata']['name']}")
        if keep:
            patch = {"metadata": {"labels": {MANAGED: None}}}
            api.call("PATCH", f"/api/v1/namespaces/{name}", patch, "application/merge-patch+json")
        else:
            api.call("DELETE", f"/api/v1/namespaces/{name}")
            while api.get(f"/api/v1/namespaces/{name}") is not None:
                spinner.turn()
                time.sleep(0.05)
        spinner.end("✅")
    spinner.close()
    context.spinner = None


def list_namespaces(context, flags):
    api = context.open_api()
    rows = []
    for namespace in api.call("GET", "/api/v1/namespaces")["items"]:
        name = namespace["metadata"]["name"]
        is_hidden = "deletionTimestamp" in namespace["metadata"] or name in RESERVED or name.startswith("kube-")
        if is_hidden or (not is_managed(namespace) and not flags["all"]):
            continue
        shown = []
        for subscription in list_subscriptions(api, name):
            installed = (subscription.get("status") or {}).get("installedCSV")
            if not installed:
                raise Failed(
                    "cannot get namespace subscriptions: cannot list installed operators in "
                    f"namespace='{name}': resource name may not be empty"
                )
            short = {item[0]: item[1] for item in OPERATORS.values()}[subscription["metadata"]["name"]]
            shown.append(f"{short}({installed.partition('.')[2]})")
        rows.append([name, str(bool(shown)).lower(), ", ".join(sorted(shown))])
    print_table(["NAMESPACE", "MANAGED", "OPERATORS"], rows)


# RBAC.

RESOURCES = (
    "backup-storages", "database-clusters", "database-cluster-backups", "database-cluster-credentials",
    "database-cluster-restores", "database-engines", "monitoring-instances", "namespaces", "pod-scheduling-policies",
    "data-importers", "data-import-jobs", "load-balancer-configs", "enginefeatures/split-horizon-dns-configs",
)  # fmt: skip
ACTIONS = ("create", "read", "update", "delete", "*")
TERM = re.compile(r"[/*-_:a-zA-Z0-9]+")


def read_policy(context, flags):
    path = flags["policy-file"]
    if path:
        try:
            with open(path, newline="") as file:
                return file.read()
        except OSError as error:
            raise Failed(
                f"policy syntax error - open {path}: {error.strerror[0].lower()}{error.strerror[1:]}"
            ) from None
    try:
        found = context.open_api().call("GET", f"/api/v1/namespaces/{SYSTEM}/configmaps/everest-rbac")
    except (ApiError, Failed) as error:
        raise Failed(f"policy syntax error - {error}") from None
    return found["data"]["policy.csv"]


def parse_policy(text):
    """Rules as casbin's csv adapter reads them. Raises Failed with its words."""
    rules = []
    for line in text.split("\n"):
        if line == "" or line.startswith("#"):
            continue
        if line == "\r":
            raise Failed("policy syntax error - EOF")
        fields = [field.lstrip() for field in line.rstrip("\r").split(",")]
        if fields[0] not in ("p", "g") or (len(fields) < 3 and fields[0] != "p") or len(fields) < 2:
            raise Failed(f"policy syntax error - invalid policy line '{line}'")
        if fields[0] == "p" and len(fields) != 5:
            rule = " ".join(fields[1:])
            raise Failed(
                f"policy syntax error - invalid policy rule size: expected 4, got {len(fields) - 1}, rule: [{rule}]"
            )
        rules.append(fields)
    return rules


def check_rules(rules):
    doubled = "policy syntax error - policy syntax error - "
    roles = {field for rule in rules if rule[0] == "g" for field in rule[2:3]}
    for rule in rules:
        if rule[0] != "p":
            continue
        for term in rule[1:]:
            if not TERM.fullmatch(term):
                raise Failed(f"{doubled}invalid policy term '{term}'")
        if rule[1].startswith("role:") and rule[1] not in roles:
            raise Failed(f"{doubled}role '{rule[1]}' does not exist")
        if rule[2] != "*" and rule[2] not in RESOURCES:
            raise Failed(f"{doubled}unknown resource name '{rule[2]}'")


def validate_policy(context, flags):
    try:
        check_rules(parse_policy(read_policy(context, flags)))
    except Failed as error:
        sys.stdout.write("❌ Invalid\n" + str(error).replace("\n", " - ") + "\n")
        return 1
    sys.stdout.write("✅ Valid\n\n")
    return 0


def can(context, flags, subject, action, resource, target):
    if action not in ACTIONS:
        usage = "everestctl settings rbac can <subject> <action> <resource> <subresource> [flags]"
        example = "everestctl settings rbac can alice read database-clusters all"
        flag = "      --policy-file string   Path to the policy file to use, otherwise use policy from Everest deployment.\n"
        text = f"Usage:\n  {usage}\n\nExamples:\n{example}\n\nFlags:\n  -h, --help                 help for can\n{flag}"
        raise Usage(f"invalid action '{action}'. Supported actions: create,read,update,delete,*", text)
    rules = parse_policy(read_policy(context, flags))
    if not flags["policy-file"]:
        stored = context.open_api().call("GET", f"/api/v1/namespaces/{SYSTEM}/configmaps/everest-rbac")
        if stored["data"].get("enabled") != "true":
            sys.stdout.write("Yes\n")
            return
    target = "/" if target in ("*", "all") else target
    subjects = {subject} | {rule[2] for rule in rules if rule[0] == "g" and rule[1] == subject}
    is_allowed = "role:admin" in subjects or any(
        rule[0] == "p"
        and rule[1] in subjects
        and globs(rule[2], resource)
        and globs(rule[3], action)
        and globs(rule[4], target)
        for rule in rules
    )
    sys.stdout.write("Yes\n" if is_allowed else "No\n")


def globs(pattern, text):
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), text) is not None


# Version.


def show_version(context, flags):
    version = context.cli_version
    server = None
    if not flags["client-only"]:
        server = read_server_version(context)
    if context.console.is_json:
        value = {"projectName": "everestctl", "version": version, "fullCommit": COMMIT}
        sys.stdout.write(
            json.dumps({**value, **({"serverVersion": server} if server else {})}, separators=(",", ":")) + "\n"
        )
        return
    sys.stdout.write(f"ProjectName: everestctl\nVersion: {version}\nFullCommit: {COMMIT}\n")
    if server:
        sys.stdout.write(f"ServerVersion: {server}\n")


def read_server_version(context):
    usage = (
        "Usage:\n  everestctl version [flags]\n\nFlags:\n      --client-only   Print client version only\n"
        "  -h, --help          help for version\n"
    )
    try:
        api = context.open_api()
    except Failed as error:
        raise Usage(str(error), usage) from None
    try:
        return f"v{check_everest(api).removeprefix('v')}"
    except (Failed, ApiError) as error:
        message = str(error).removesuffix("\nfailed to get Everest version")
        if message == "everest is not installed in the cluster":
            return "[NOT INSTALLED]"
        component = '{"component": "version"}'
        sys.stderr.write(f"{now()}\terror\teverestctl\tcommands/version.go:66\t{message}\t{component}\n")
        raise Usage(message, usage) from None


# The command line.


class Flags(dict):
    """`names_operators`: any operator flag was given; `given_last`: the last one, which wins over its synonym."""

    names_operators = False
    given_last = ""


OPERATOR_FLAGS = {
    "operator.mongodb": True, "operator.postgresql": True, "operator.xtradb-cluster": True, "operator.mysql": True,
    "skip-wizard": False, "skip-env-detection": False, "helm.repository": "", "helm.set": "", "helm.values": "",
    "chart-dir": "", "disable-telemetry": False,
}  # fmt: skip
CREATE_USAGE = (
    "Usage:\n  everestctl accounts create [flags]\n\nExamples:\n"
    "everestctl accounts create --username user1 --password $USER_PASS\n\nFlags:\n"
    "  -h, --help              help for create\n  -p, --password string   Password of the account\n"
    "  -u, --username string   Username of the account\n"
)
# path: (positional arguments, flags, short names, usage, function)
COMMANDS = {
    ("accounts", "create"): (0, {"username": "", "password": ""}, {"u": "username", "p": "password"}, CREATE_USAGE, create_account),
    ("accounts", "list"): (0, {"no-headers": False, "columns": ""}, {}, "", list_accounts),
    ("accounts", "delete"): (0, {"username": ""}, {"u": "username"}, "", delete_account),
    ("accounts", "set-password"): (0, {"username": "", "new-password": ""}, {"u": "username", "p": "new-password"}, "", set_password),
    ("accounts", "initial-admin-password"): (0, {}, {}, "", show_initial_password),
    ("namespaces", "add"): (1, {**OPERATOR_FLAGS, "take-ownership": False}, {"f": "helm.values"}, "", add_namespaces),
    ("namespaces", "update"): (1, OPERATOR_FLAGS, {"f": "helm.values"}, "", update_namespaces),
    ("namespaces", "remove"): (1, {"keep-namespace": False, "force": False}, {}, "", remove_namespaces),
    ("namespaces", "list"): (0, {"all": False}, {"a": "all"}, "", list_namespaces),
    ("settings", "rbac", "validate"): (-1, {"policy-file": ""}, {}, "", validate_policy),
    ("settings", "rbac", "can"): (4, {"policy-file": ""}, {}, "", can),
    ("version",): (0, {"client-only": False}, {}, "", show_version),
}  # fmt: skip
GLOBAL_FLAGS = {"json": False, "verbose": False, "kubeconfig": ""}
GLOBAL_SHORT = {"v": "verbose", "k": "kubeconfig"}
RBAC_HELP = """Manage RBAC settings

Usage:
  everestctl settings rbac [command]

Available Commands:
  can         Test RBAC policy
  validate    Validate RBAC settings

Flags:
  -h, --help   help for rbac

{globals}
Use "everestctl settings rbac [command] --help" for more information about a command.
"""


def global_usage():
    path = os.environ.get("KUBECONFIG") or os.path.join(os.environ.get("HOME", ""), ".kube/config")
    return (
        "Global Flags:\n      --json                Set output type to JSON\n"
        "  -k, --kubeconfig string   Path to a kubeconfig. If not set, will use KUBECONFIG env var "
        f'(default "{path}")\n  -v, --verbose             Enable Verbose mode\n'
    )


def find_command(words):
    """The command's path, or what cobra does where there is none."""
    for length in (3, 2, 1):
        if tuple(words[:length]) in COMMANDS:
            return tuple(words[:length])
    if words[:2] == ["settings", "rbac"]:
        sys.stdout.write(RBAC_HELP.format(globals=global_usage()))
        raise SystemExit(0)
    if words[:1] in (["accounts"], ["namespaces"], ["settings"]):
        if len(words) == 2:
            raise SystemExit(0)  # an unknown word below a parent: nothing is said, and nothing is wrong
        raise Usage(f"accepts 1 arg(s), received {len(words) - 1}")
    word = words[0] if words else ""
    near = "\n\nDid you mean this?\n\taccounts\n" if word == "account" else ""
    message = f'unknown command "{word}" for "everestctl"{near}'
    sys.stderr.write(f"Error: {message}\nRun 'everestctl --help' for usage.\n{message}\n")
    raise SystemExit(1)


def parse(arguments):
    """pflag's rules: `--flag=value`, `--flag value`, `-fvalue`; booleans only bare or with `=`."""
    words = [word for word in arguments if not word.startswith("-")]
    path = None
    flags, positional, rest = Flags(GLOBAL_FLAGS), [], list(arguments)
    taken = 0
    path = find_command(leading_words(arguments) or words)
    count, own, short, usage, run = COMMANDS[path]
    flags.update(own)
    short = {**GLOBAL_SHORT, **short}
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            if taken < len(path):
                taken += 1
            else:
                positional.append(word)
            continue
        name, separator, value = word.lstrip("-").partition("=")
        if not word.startswith("--"):
            name, value, separator = name[:1], word[2:].removeprefix("="), "=" if len(word) > 2 else ""
            if name not in short:
                raise Usage(f"unknown shorthand flag: '{name}' in {word}", usage)
            name = short[name]
        if name not in flags:
            raise Usage(f"unknown flag: --{name}", usage)
        if isinstance(flags[name], bool):
            flags[name] = value.lower() in ("true", "1", "t") if separator else True
        elif separator:
            flags[name] = value
        elif rest:
            flags[name] = rest.pop(0)
        else:
            raise Usage(f"flag needs an argument: --{name}", usage)
        if name.startswith("operator."):
            flags.names_operators = True
            if name in ("operator.mysql", "operator.xtradb-cluster"):
                flags.given_last = name
            if name == "operator.xtradb-cluster" and DEPRECATED:
                sys.stderr.write(DEPRECATED)
    if count == 0 and positional and path != ("version",):
        raise Usage(f'unknown command "{positional[0]}" for "everestctl {" ".join(path)}"', usage)
    if count > 0 and len(positional) != count:
        raise Usage(f"accepts {count} arg(s), received {len(positional)}", usage)
    return path, flags, positional[: max(count, 0)], run, usage


def leading_words(arguments):
    """The words of the command itself: up to three before positional arguments, whatever flags stand between."""
    found = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            if word in ("-k", "--kubeconfig") and rest:
                rest.pop(0)
            continue
        found.append(word)
        if tuple(found) in COMMANDS:
            return found
        if len(found) == 3:
            break
    return found


# Running.


class Context:
    """A run: its console, its API, and the faults that the simulated API asks for."""

    def __init__(self, console, kubeconfig, arguments):
        self.console = console
        self.kubeconfig = kubeconfig
        self.arguments = arguments
        self.api = None
        self.faults = {}
        self.spinner = None
        self.held = None
        self.cli_version = os.environ.get("EVERESTCTL_VERSION", "v1.10.0")

    def open_api(self):
        if self.api is None:
            self.api = Api(self.kubeconfig)
        return self.api

    def report(self):
        """Tells the simulated API of this run, over a connection that lasts as long as the process: its closing is the end."""
        try:
            api = self.open_api()
            connection = api.connect("/")
        except (Failed, OSError):
            self.api = None
            return
        connection.settimeout(5)
        body = {"argv": mask(self.arguments), "pid": os.getpid()}
        try:
            api.send(connection, "POST", "/simulator/commands", body, "application/json")
            head, _, first = connection.recv(65536).partition(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                connection.close()
                return
            while b"\n" not in join_chunks_open(first):
                first += connection.recv(65536)
        except OSError:
            return
        self.held = connection
        self.faults = json.loads(join_chunks_open(first).partition(b"\n")[0])
        self.cli_version = self.faults.get("cli_version", self.cli_version)

    def pause_race(self, gap="race_seconds"):
        """Widens a gap in which the real one loses races: between look and act, or between the last read and the write."""
        if self.faults.get(gap):
            time.sleep(self.faults[gap])


def join_chunks_open(body):
    """As join_chunks, for a body that has not ended."""
    joined = b""
    while b"\r\n" in body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if len(body) < length:
            break
        joined += body[:length]
        body = body[length + 2 :]
    return joined


def mask(arguments):
    masked, hides_next = [], False
    for word in arguments:
        if hides_next:
            masked.append("********")
            hides_next = False
        elif word in ("-p", "--password", "--new-password"):
            masked.append(word)
            hides_next = True
        else:
            masked.append(re.sub(r"^(-p|--password=|--new-password=).+", r"\1********", word))
    return masked


def obey_faults(context):
    faults = context.faults
    if seconds := faults.get("slow_seconds"):
        time.sleep(seconds)
    if faults.get("hang"):
        time.sleep(86400)
    if faults.get("binary_output"):
        sys.stdout.buffer.write(bytes(range(256)) * 64)
        sys.stdout.flush()
    if size := faults.get("output_bytes"):
        line = b"x" * 1023 + b"\n"
        for _ in range(size // 1024):
            sys.stdout.buffer.write(line)
        sys.stdout.flush()
    if (failure := faults.get("fail")) is not None:
        sys.stderr.write(failure.get("stderr", ""))
        sys.stdout.write(failure.get("stdout", ""))
        raise SystemExit(failure.get("exit_code", 1))


def main(arguments):
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stderr.reconfigure(encoding="utf-8")
    try:
        path, flags, positional, run, usage = parse(arguments)
    except Usage as error:
        return say_usage(error)
    is_json = any(word == "--json" or word.startswith("--json=") for word in arguments)
    is_verbose = any(word in ("-v", "--verbose") or word.startswith("--verbose=") for word in arguments)
    console = Console(not (is_json or is_verbose), flags["json"])
    home = os.environ.get("HOME", "")
    kubeconfig = flags["kubeconfig"] or os.environ.get("KUBECONFIG") or os.path.join(home, ".kube/config")
    context = Context(console, kubeconfig, arguments)
    context.report()
    signal.signal(signal.SIGTERM, lambda *_: stop(context, signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: stop(context, signal.SIGINT))
    try:
        obey_faults(context)
        code = run(context, flags, *positional)
    except Usage as error:
        return say_usage(error)
    except (Failed, ApiError) as error:
        console.fail(str(error))
        return 1
    return code or 0


def say_usage(error):
    usage = f"{error.usage}\n{global_usage()}\n" if error.usage else ""
    sys.stderr.write(f"Error: {error}\n{usage}{error}\n")
    return 1


def stop(context, number):
    """SIGTERM while a spinner runs quits with 0, although nothing has ended; SIGINT with 1."""
    if context.spinner is not None and context.spinner.is_open:
        context.spinner.quit()
        if number == signal.SIGINT:
            context.console.fail("program was killed: program was interrupted")
    elif not context.console.is_json or context.spinner is None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if number == signal.SIGTERM else 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
