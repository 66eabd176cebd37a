"""Keys of NATS users."""

import secrets

import nkeys  # type: ignore[import-untyped]  # it ships no types


def make_user_key() -> tuple[str, str]:
    """A new nkey of a NATS user: its public key, and the seed, which is secret."""
    seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return nkeys.from_seed(bytearray(seed)).public_key.decode(), seed.decode()
