"""How we show the server who we are: what the settings say, read and checked before the first connection."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contracts.process.settings import InvalidSettings, NatsSettings

_URL_PROBLEM = "NATS_URL must be nats://host:port or tls://host:port, or several of them, separated by commas"
_JWT_MARK, _SEED_MARK = b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED"


def read_credentials(settings: NatsSettings) -> dict[str, Any]:
    """The options of nats-py. Raises InvalidSettings with one line for each setting that cannot be used."""
    problems = [] if all(map(_is_url, settings.servers)) and settings.servers else [_URL_PROBLEM]
    password = settings.nats_password
    with _noting(problems, "NATS_PASSWORD_FILE"):
        password = _read_text(settings.nats_password_file) or password
    with _noting(problems, "NATS_CREDS_FILE"):
        _check_creds(settings.nats_creds_file)
    with _noting(problems, "NATS_NKEY_FILE"):
        _check_seed(settings.nats_nkey_file)
    context = None if problems else _make_context(settings, problems)
    if problems:
        raise InvalidSettings(problems)
    options: dict[str, Any] = {
        "servers": settings.servers,
        "user": settings.nats_user,
        "password": password,
        "user_credentials": settings.nats_creds_file,
        "nkeys_seed": settings.nats_nkey_file,
        # nats-py would log in in clear text to a server without TLS, so the handshake always comes first.
        "tls": context,
        "tls_handshake_first": True if context else None,
    }
    return {name: value for name, value in options.items() if value is not None}


def show_servers(settings: NatsSettings) -> str:
    """NATS_URL without a password that somebody has put into it."""
    return ",".join(url.rpartition("@")[2] for url in settings.servers)


class _Unusable(Exception):
    """What is wrong with a file's content."""


@contextmanager
def _noting(problems: list[str], setting: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problems.append(f"{setting} cannot be read: {error.filename}: {error.strerror}")
    except (_Unusable, UnicodeDecodeError) as error:
        reason = error if isinstance(error, _Unusable) else "it is no text"
        problems.append(f"{setting} cannot be used: {reason}")


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        return parts.scheme in ("nats", "tls") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _read_text(file: str | None) -> str | None:
    return Path(file).read_text().strip() if file else None


def _check_creds(file: str | None) -> None:
    if not file:
        return
    content = Path(file).read_bytes()
    if not (_JWT_MARK in content and _SEED_MARK in content):
        raise _Unusable(f"{file} holds no user's JWT with its seed")


def _check_seed(file: str | None) -> None:
    if not file:
        return
    import nkeys  # type: ignore[import-untyped]  # it ships no types; who has no nkey starts faster without it

    try:
        nkeys.from_seed(bytearray(Path(file).read_bytes().strip()))
    except (ValueError, nkeys.NkeysError):
        raise _Unusable(f"{file} holds no seed of an nkey, which begins with SU") from None


def _make_context(settings: NatsSettings, problems: list[str]) -> ssl.SSLContext | None:
    """None where the settings ask for no TLS."""
    if settings.nats_tls_key and not settings.nats_tls_cert:
        problems.append("NATS_TLS_KEY needs NATS_TLS_CERT")
    is_secured = any(url.startswith("tls:") for url in settings.servers)
    if not (is_secured or settings.nats_tls_ca or settings.nats_tls_cert):
        return None
    context = None
    with _noting(problems, "NATS_TLS_CA"):
        context = _trust(settings.nats_tls_ca)
    with _noting(problems, "NATS_TLS_CERT with NATS_TLS_KEY" if settings.nats_tls_key else "NATS_TLS_CERT"):
        if context and settings.nats_tls_cert:
            _present(context, settings.nats_tls_cert, settings.nats_tls_key)
    return context


def _trust(file: str | None) -> ssl.SSLContext:
    """Only who is signed by the file's authorities, or by those of the system where there is no file."""
    if file:
        Path(file).read_bytes()  # for an error that names the file
    try:
        return ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        raise _Unusable(f"{file} holds no PEM certificate of an authority") from None


def _present(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    for file in filter(None, (certificate, key)):
        Path(file).read_bytes()  # for an error that names the file
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError:
        raise _Unusable(f"{certificate} and {key or certificate} are no PEM certificate with its key") from None


def _no_password() -> str:
    """OpenSSL would ask at the terminal, and a service has none."""
    return ""
