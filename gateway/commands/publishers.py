"""`python -m gateway new-publisher NAME`: an account for a service that publishes jobs over NATS."""

import sys
from collections.abc import Sequence

from contracts import names
from contracts.link.user_keys import make_user_key

# The accounts of nats/accounts.conf, and callers who are somebody else.
_TAKEN = ("EVEREST", "EVEREST_GATEWAY", "EVEREST_HANDLER", "SYS", names.ADMIN_CALLER, names.DIRECT_CALLER)

DEFAULT_KINDS = ("bootstrap",)

_BLOCK = """\
"{name}": {{
  limits: {{ max_connections: 64 }}
  users: [{{
    nkey: {nkey}
    permissions: {{
      publish: [{allowed}, "{prefix}.status.*"]
      subscribe: ["_INBOX_{name}.>", "{prefix}.events.*", "{prefix}.progress.*"]
    }}
  }}]
  imports: [
{jobs}
    {{ service: {{ account: EVEREST, subject: "{prefix}.status.{name}.*" }}, to: "{prefix}.status.*" }}
    {{ stream: {{ account: EVEREST, subject: "{prefix}.events.{name}.*" }}, to: "{prefix}.events.*" }}
    {{ stream: {{ account: EVEREST, subject: "{prefix}.progress.{name}.*" }}, to: "{prefix}.progress.*" }}
  ]
}}
"""

_JOBS = """\
    {{ service: {{ account: EVEREST, subject: "{prefix}.jobs.{kind}.{name}.*" }}, to: "{prefix}.jobs.{kind}.*" }}"""

_TOLD = """\
1. Add this block to nats/publishers.conf of every NATS server, then nats-server --signal reload, and once more some
   seconds later: only then an account that is new reaches what it imports. The block holds no secret. The exports are
   there already: an account can import only what bears its own name.

{block}
2. Give the service its seed, which is shown once, as a file of its own (mode 0600):

{seed}
3. It connects with the seed and its own inbox prefix, and publishes to {prefix}.jobs.{kind}.<id>:

   nats --nkey {name}.nk --inbox-prefix _INBOX_{name} request {prefix}.jobs.{kind}.order-42 '{{"username": "carol"}}'
   nats.connect(url, nkeys_seed="{name}.nk", inbox_prefix=b"_INBOX_{name}")

   The answer is the acknowledgement. Over REST the job is /jobs/{name}.order-42, and its caller {name}.
"""


def print_new_publisher(name: str, kinds: Sequence[str] = DEFAULT_KINDS) -> int:
    """Runs the command and gives its exit code."""
    if unknown := set(kinds) - set(names.JOB_KINDS):
        print(f"no publisher was made: kinds are {', '.join(names.JOB_KINDS)}, not {min(unknown)!r}", file=sys.stderr)
        return 2
    if not names.is_job_id(name) or "." in name or name in _TAKEN:
        wanted = f"1 to 64 letters, digits, '-' or '_', and none of {', '.join(_TAKEN)}"
        print(f"no publisher was made: the name must be {wanted}", file=sys.stderr)
        return 2
    nkey, seed = make_user_key()
    block = format_account(name, nkey, kinds)
    told = _TOLD.format(block=_indent(block), seed=_indent(seed), name=name, prefix=names.PREFIX, kind=kinds[0])
    print(told, end="")
    return 0


def format_account(name: str, nkey: str, kinds: Sequence[str] = DEFAULT_KINDS) -> str:
    """The block of publishers.conf that lets the nkey publish jobs of these kinds as `name`."""
    allowed = ", ".join(f'"{names.job_subject(kind, "*")}"' for kind in kinds)
    jobs = "\n".join(_JOBS.format(prefix=names.PREFIX, kind=kind, name=name) for kind in kinds)
    return _BLOCK.format(name=name, nkey=nkey, prefix=names.PREFIX, allowed=allowed, jobs=jobs)


def _indent(text: str) -> str:
    return "".join(f"   {line}\n" for line in text.splitlines())
