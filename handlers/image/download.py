"""Downloads one program for the image: retried, checked, whole or not at all. Needs nothing but Python."""

import argparse
import hashlib
import http.client
import os
import platform
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

PAUSES_SECONDS = (1, 3, 10, 20)
_SILENCE_SECONDS = 60  # without a byte the try is over
_PIECE_BYTES = 1 << 20
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Refused(Exception):
    """Asking again would change nothing; the message says what to do."""


class Interrupted(Exception):
    """This try came to nothing; another may not."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--url", required=True, help="with @VERSION@ and @ARCH@ in their places")
    parser.add_argument("--version", required=True)
    parser.add_argument("--arch", default="", help="amd64, arm64, …; this machine's when empty")
    parser.add_argument(
        "--sha256", default="", help="one sum, or one for each architecture: amd64:… arm64:…; `any` checks nothing"
    )
    parser.add_argument("--known", default="", help="what counts when --sha256 is empty: VERSION:ARCH:SUM …")
    parser.add_argument("--verified-only", default="", help="not empty: nothing is downloaded that has no sum")
    arguments = parser.parse_args()
    architecture = arguments.arch or _ARCHITECTURES.get(platform.machine(), platform.machine())
    name = arguments.target.name
    url = arguments.url.replace("@VERSION@", arguments.version).replace("@ARCH@", architecture)
    try:
        sums = arguments.sha256.strip() or find_known(arguments.known, arguments.version)
        expected = choose_sum(sums, architecture)
        if expected is None and arguments.verified_only:
            raise Refused(f"no SHA-256 of {arguments.version} is known; build with {name.upper()}_SHA256=amd64:….")
        total = download(url, arguments.target, expected)
    except Refused as error:
        print(f"{name} could not be downloaded: {error}", file=sys.stderr)
        return 1
    print(f"{url}\n  sha256 {total}")
    if expected is None:
        print(f"NOT VERIFIED: to have {name} checked, build with {name.upper()}_SHA256={total}", file=sys.stderr)
    return 0


def find_known(known: str, version: str) -> str:
    """The sums of this version, as `choose_sum` takes them; empty where none is known."""
    words = (word.split(":", 1) for word in known.split())
    return " ".join(rest for name, rest in words if name == version)


def choose_sum(sums: str, architecture: str) -> str | None:
    """The sum that counts here, None for `any` and for no sums at all.

    Raises Refused where there are sums, but none for this architecture.
    """
    if sums.strip() in ("", "any"):
        return None
    for word in sums.replace(",", " ").split():
        name, _, value = word.rpartition(":")
        if name in ("", architecture):
            return value.lower()
    raise Refused(f"no SHA-256 is given for {architecture}.")


def download(url: str, target: Path, expected: str | None, pauses_seconds: Sequence[float] = PAUSES_SECONDS) -> str:
    """Gives the sum of what was downloaded. Raises Refused."""
    part = target.with_name(target.name + ".part")
    for pause in (*pauses_seconds, None):
        try:
            total = _try_once(url, part)
            break
        except Interrupted as error:
            if pause is None:
                raise Refused(f"{error}; give another address or version as a build argument.") from None
            print(f"{error}; next try in {pause} s", file=sys.stderr)
            time.sleep(pause)
    if expected is not None and total != expected:
        part.unlink()
        raise Refused(f"the SHA-256 of {url} is {total}, and {expected} was asked for.")
    part.chmod(0o755)
    os.replace(part, target)
    return total


def _try_once(url: str, part: Path) -> str:
    digest = hashlib.sha256()
    size = 0
    try:
        with urllib.request.urlopen(url, timeout=_SILENCE_SECONDS) as answer, part.open("wb") as file:
            announced = answer.headers.get("Content-Length")
            while piece := answer.read(_PIECE_BYTES):
                digest.update(piece)
                size += file.write(piece)
    except urllib.error.HTTPError as error:
        if error.code < 500 and error.code not in (403, 408, 429):  # 403 and 429: how GitHub and CDNs say "too often"
            raise Refused(f"{url} answers {error.code} {error.reason}: is there such a version?") from None
        raise Interrupted(f"{url} answers {error.code} {error.reason}") from None
    except ValueError as error:
        raise Refused(f"{url} is no address: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"{url} cannot be read: {error}") from None
    if announced is not None and size != int(announced):
        raise Interrupted(f"{url} ended after {size} of {announced} bytes")
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
