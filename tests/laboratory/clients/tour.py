"""With the Python client that openapi-python-client makes: submit, wait, result, list, tenant; prints what it saw.

Run in an environment of its own, so nothing of ours is imported here. Arguments: the address, the key, a username.
"""

import json
import sys
from typing import Any

from everest_bootstrap_client import AuthenticatedClient
from everest_bootstrap_client.api.jobs import list_jobs, read_job, read_result, submit_bootstrap
from everest_bootstrap_client.api.tenants import read_tenant
from everest_bootstrap_client.models import Accepted, BootstrapRequest, Job, Operators, Resources


def main(address: str, key: str, username: str) -> None:
    client = AuthenticatedClient(
        address, token=key, prefix="", auth_header_name="X-Admin-Key", raise_on_unexpected_status=True, timeout=90
    )
    request = BootstrapRequest(
        username=username,
        namespace=f"{username}-ns",
        operators=Operators(postgresql=True),
        resources=Resources(cpu_cores=4.5, disk_gb=64),
    )
    accepted = submit_bootstrap.sync(client=client, body=request, idempotency_key=f"{username} key")
    assert isinstance(accepted, Accepted), accepted
    job: Any = None
    while not isinstance(job, Job) or job.status not in ("succeeded", "failed"):
        job = read_job.sync(accepted.job_id, client=client, wait=30)
    listed = list_jobs.sync(client=client, username=username, limit=10)
    tenant = read_tenant.sync(username, client=client)
    seen = {
        "sent": request.to_dict(),
        "job": job.to_dict(),
        "result": read_result.sync(accepted.job_id, client=client).to_dict(),
        "listed": [job.job_id for job in listed.jobs],
        "tenant": tenant.to_dict()["data"],
    }
    print(json.dumps(seen))


main(*sys.argv[1:])
