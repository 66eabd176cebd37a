"""The Secret of one job: the password of the account that it makes, under a name and a mark of the job's own."""

import base64
import secrets
import string
from dataclasses import dataclass
from typing import NamedTuple

from contracts.codes import Failure
from contracts.names import credentials_secret_name, second_secret_name
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


class Kept(NamedTuple):
    """A Secret that is there. `password` is None where it holds none."""

    job_id: str
    secret: CredentialsSecret
    password: Secret | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The job's Secret for this account. Another job's, or another account's, is neither read nor deleted.

    A job's id is free again when its record has expired. Where the Secret of its first user is there still, the next
    one's is under a second name.
    """

    kubectl: Kubectl
    namespace: str
    job_id: str
    username: str

    def to_keep(self, password: Secret) -> Command:
        return self._to_keep(self._secrets[0], password)

    async def keep(self, password: Secret) -> Kept:
        """Puts the password into a Secret; an earlier attempt's is used again. Raises StepFailed."""
        for secret in self._secrets:
            try:
                await self.kubectl.write(self._to_keep(secret, password))
            except StepFailed as error:
                raise await self._explain_unkept(error) from None
            except AlreadyExists:
                kept = await self.find()
                if kept is not None and kept.password is None:
                    reason = f"Secret {kept.secret.name} in {self.namespace} holds no password."
                    raise StepFailed(Failure("conflict", reason, "Delete it: this service makes it.")) from None
                if kept is not None:
                    return kept
            else:
                return Kept(self.job_id, secret, password)
        reason = f"The Secrets of job {self.job_id} in {self.namespace} are of another account or another job."
        raise StepFailed(Failure("conflict", reason, "Submit the request under another job id."))

    async def find(self) -> Kept | None:
        """None where there is none of this job and this account. Raises StepFailed."""
        names = [secret.name for secret in self._secrets]
        for found in await self.kubectl.get_each("secret", names, self.namespace):
            if self._is_ours(found):
                encoded = (found.get("data") or {}).get("password")
                password = Secret(_decode(encoded)) if encoded else None
                return Kept(self.job_id, CredentialsSecret(self.namespace, found["metadata"]["name"]), password)
        return None

    def to_drop(self, kept: Kept) -> Command:
        return self.kubectl.to_delete("secret", kept.secret.name, self.namespace)

    async def drop(self) -> None:
        """Deletes it where there is one."""
        if kept := await self.find():
            await self.kubectl.carry_out(self.to_drop(kept))

    @property
    def _secrets(self) -> tuple[CredentialsSecret, ...]:
        """Where it may be, the likeliest first."""
        names = credentials_secret_name(self.job_id), second_secret_name(self.job_id, self.username)
        return tuple(CredentialsSecret(self.namespace, name) for name in names)

    def _is_ours(self, found: Object) -> bool:
        """Version 0.1.0 wrote no mark."""
        job_id = (found["metadata"].get("annotations") or {}).get(JOB, self.job_id)
        username = (found.get("data") or {}).get("username")
        return bool(job_id == self.job_id and (username is None or _decode(username) == self.username))

    def _to_keep(self, secret: CredentialsSecret, password: Secret) -> Command:
        metadata = {"name": secret.name, "namespace": self.namespace, "annotations": {JOB: self.job_id}}
        data = {"username": self.username, "password": password.reveal()}
        manifest = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "stringData": data}
        return self.kubectl.to_create(manifest, [password])

    async def _explain_unkept(self, error: StepFailed) -> StepFailed:
        """Nothing was made yet. A deployment's fault, and no race, where the Secrets' namespace is not there."""
        if error.failure.code != "conflict" or await find_namespace(self.kubectl, self.namespace) is not None:
            return error
        return StepFailed(explain_no_namespace(self.namespace), error.deciding)


def _decode(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")
