"""`python -m gateway new-publisher NAME`: an account for a service that publishes jobs over NATS."""

import sys
from collections.abc import Sequence

from contracts import names
from contracts.link.user_keys import make_user_key

# The accounts of nats/accounts.conf, and callers who are somebody else.
_TAKEN = ("EVEREST", "EVEREST_GATEWAY", "EVEREST_HANDLER", "SYS", names.ADMIN_CALLER, names.DIRECT_CALLER)

_BLOCK = """\
"{name}": {{
  limits: {{ max_connections: 64 }}
  users: [{{
    nkey: {nkey}
    permissions: {{
      publish: [
        {allowed}, "{prefix}.status.*"
        "{prefix}.api.CONSUMER.MSG.NEXT.{events}.{name}", "{prefix}.api.CONSUMER.INFO.{events}.{name}"
        "$JS.ACK.{events}.{name}.>"
      ]
      subscribe: ["_INBOX_{name}.>", "{prefix}.events.*", "{prefix}.progress.*"]
    }}
  }}]
  # Past the API that the server gives to every account.
  mappings: {{ "$JS.API.>": "{prefix}.api.>" }}
  imports: [
{jobs}
    {{ service: {{ account: EVEREST, subject: "{prefix}.status.{name}.*" }}, to: "{prefix}.status.*" }}
    {{ stream: {{ account: EVEREST, subject: "{prefix}.events.{name}.*" }}, to: "{prefix}.events.*" }}
    {{ stream: {{ account: EVEREST, subject: "{prefix}.progress.{name}.*" }}, to: "{prefix}.progress.*" }}
{pulls}
    {{ service: {{ account: EVEREST, subject: "$JS.ACK.{events}.{name}.>" }}, to: "$JS.ACK.{events}.{name}.>" }}
  ]
}}
"""

_PULLS = "\n".join(
    f"""\
    {{{{ service: {{{{ account: EVEREST, subject: "$JS.API.{call}.{{events}}.{{name}}" }}}}, \
to: "{{prefix}}.api.{call}.{{events}}.{{name}}" }}}}"""
    for call in ("CONSUMER.MSG.NEXT", "CONSUMER.INFO")
)

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

4. To hear of every end also when it was away, it pulls from a durable consumer that bears its name:

   python -m gateway provision --publisher {name}
   await client.jetstream().pull_subscribe_bind(durable="{name}", stream="{events}")
"""


def print_new_publisher(name: str, kinds: Sequence[str]) -> int:
    """Runs the command and gives its exit code."""
    if unknown := set(kinds) - set(names.JOB_KINDS):
        print(f"no publisher was made: kinds are {', '.join(names.JOB_KINDS)}, not {min(unknown)!r}", file=sys.stderr)
        return 2
    if problem := find_problem(name):
        print(f"no publisher was made: {problem}", file=sys.stderr)
        return 2
    nkey, seed = make_user_key()
    block = format_account(name, nkey, kinds)
    told = _TOLD.format(
        block=_indent(block),
        seed=_indent(seed),
        name=name,
        prefix=names.PREFIX,
        kind=kinds[0],
        events=names.EVENTS_STREAM,
    )
    print(told, end="")
    return 0


def find_problem(name: str) -> str | None:
    """Why a publisher cannot be called so. What begins as a webhook's consumer does would be given its events."""
    if not names.is_job_id(name) or "." in name or name in _TAKEN:
        return f"the name must be 1 to 64 letters, digits, '-' or '_', and none of {', '.join(_TAKEN)}"
    if name.startswith(names.WEBHOOK_CONSUMER_PREFIX):
        return f"the name must not begin with {names.WEBHOOK_CONSUMER_PREFIX}"
    return None


def format_account(name: str, nkey: str, kinds: Sequence[str]) -> str:
    """The block of publishers.conf that lets the nkey publish jobs of these kinds as `name`."""
    allowed = ", ".join(f'"{names.job_subject(kind, "*")}"' for kind in kinds)
    about = {"name": name, "prefix": names.PREFIX, "events": names.EVENTS_STREAM}
    jobs = "\n".join(_JOBS.format(kind=kind, **about) for kind in kinds)
    return _BLOCK.format(nkey=nkey, allowed=allowed, jobs=jobs, pulls=_PULLS.format(**about), **about)


def _indent(text: str) -> str:
    return "".join(f"   {line}\n" for line in text.splitlines())
