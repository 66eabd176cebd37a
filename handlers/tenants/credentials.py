"""The Secret of one job: the password of the account that it makes, under a name and a mark of the job's own."""

import base64
import secrets
import string
from dataclasses import dataclass

from contracts.codes import Failure
from contracts.names import credentials_secret_name
from contracts.records import CredentialsSecret
from handlers.commands.running import Command
from handlers.commands.secret import Secret
from handlers.results import StepFailed
from handlers.tenants.claims import JOB, Claims, find_namespace
from handlers.tools.kubectl import AlreadyExists, Kubectl, Object


def make_password() -> Secret:
    """Legal in every version of Everest, and it begins with a letter: never taken for a flag."""
    return Secret(secrets.choice(string.ascii_lowercase) + secrets.token_urlsafe(20))


def find_keepers(claims: Claims) -> list[str]:
    """The jobs whose Secret may hold the password of the tenant's account, the likeliest first. Raises StepFailed."""
    specs = [claim.read_spec() for claim in claims.all]
    named = [job_id for spec in specs if spec for job_id in spec.credentials]
    return list(dict.fromkeys(job_id for job_id in (*named, *(claim.job for claim in claims.all)) if job_id))


def explain_no_namespace(namespace: str) -> Failure:
    """Of the namespace in which all credentials are kept."""
    reason = f"The namespace {namespace} of EVEREST_CREDENTIALS_NAMESPACE is not there."
    return Failure("credentials_namespace_missing", reason, f"Make it: kubectl create namespace {namespace}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Another job's Secret is neither read nor deleted: every use compares the job in its annotation."""

    kubectl: Kubectl
    namespace: str
    job_id: str

    @property
    def secret(self) -> CredentialsSecret:
        return CredentialsSecret(self.namespace, credentials_secret_name(self.job_id))

    def to_keep(self, username: str, password: Secret) -> Command:
        return self.kubectl.to_create(self._manifest(username, password), [password])

    async def keep(self, username: str, password: Secret) -> Secret:
        """Puts the password into the Secret; an earlier attempt's is used again. Raises StepFailed."""
        try:
            await self.kubectl.write(self.to_keep(username, password))
        except StepFailed as error:
            raise await self._explain_unkept(error) from None
        except AlreadyExists:
            if (kept := await self.read()) is not None:
                return kept
            reason = f"Secret {self.secret.name} in {self.namespace} holds no password of this job."
            raise StepFailed(Failure("conflict", reason, "Delete it: this service makes it.")) from None
        return password

    async def read(self) -> Secret | None:
        """The password; None where there is none of this job."""
        found = await self.kubectl.get("secret", self.secret.name, self.namespace)
        if found is None or not self._is_ours(found):
            return None
        encoded = (found.get("data") or {}).get("password")
        return Secret(base64.b64decode(encoded).decode(errors="replace")) if encoded else None

    async def is_there(self) -> bool:
        """Whether there is one of this job."""
        found = await self.kubectl.get("secret", self.secret.name, self.namespace)
        return found is not None and self._is_ours(found)

    def to_drop(self) -> Command:
        return self.kubectl.to_delete("secret", self.secret.name, self.namespace)

    async def drop(self) -> None:
        """Deletes it where it is of this job."""
        if await self.is_there():
            await self.kubectl.carry_out(self.to_drop())

    def _is_ours(self, found: Object) -> bool:
        """Version 0.1.0 wrote no mark."""
        annotations = found["metadata"].get("annotations") or {}
        return bool(annotations.get(JOB, self.job_id) == self.job_id)

    def _manifest(self, username: str, password: Secret) -> Object:
        metadata = {"name": self.secret.name, "namespace": self.namespace, "annotations": {JOB: self.job_id}}
        data = {"username": username, "password": password.reveal()}
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "stringData": data}

    async def _explain_unkept(self, error: StepFailed) -> StepFailed:
        """Nothing was made yet. A deployment's fault, and no race, where the Secrets' namespace is not there."""
        if error.failure.code != "conflict" or await find_namespace(self.kubectl, self.namespace) is not None:
            return error
        return StepFailed(explain_no_namespace(self.namespace), error.deciding)
