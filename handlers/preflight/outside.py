"""What lies outside of the cluster and its databases depend on: the chart repository, and Everest's version service.

Asked from where the handler runs, which says little of the pods' own way: a warning at most, and never for readiness.
"""

import asyncio
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from handlers.preflight.findings import Finding, Verdict
from handlers.tools.compatibility import Versions

VERSION_SERVICE = "https://check.percona.com"  # Everest's default, up to 1.16
_SILENCE_SECONDS = 5
_NO_VERSIONS = (
    "Everest's pods ask it: without it engines offer no version, and no database can be created. "
    "See their DNS and egress."
)
_NO_CHART = "Operators cannot be installed: open the way to it, or put the chart into the cache as {}."


async def find_outside(versions: Versions, variables: Mapping[str, str]) -> list[Finding]:
    service, charts = await asyncio.gather(_find_version_service(), _find_charts(versions, variables))
    return [service, charts]


async def _find_version_service() -> Finding:
    if reason := await why_unreachable(VERSION_SERVICE):
        message = f"the version service {VERSION_SERVICE} cannot be reached from here: {reason}"
        return Finding(Verdict.WARNING, message, _NO_VERSIONS)
    return Finding(Verdict.FINE, f"the version service {VERSION_SERVICE} answers")


async def _find_charts(versions: Versions, variables: Mapping[str, str]) -> Finding:
    """A chart in everestctl's cache is used without asking anybody."""
    cached = _find_cached_chart(versions, variables)
    if cached.exists():
        return Finding(Verdict.FINE, f"the chart is in the cache: {cached}")
    if reason := await why_unreachable(f"{versions.repository}index.yaml"):
        message = f"the chart repository {versions.repository} cannot be reached from here: {reason}"
        return Finding(Verdict.WARNING, message, _NO_CHART.format(cached))
    return Finding(Verdict.FINE, f"the chart repository {versions.repository} answers")


def _find_cached_chart(versions: Versions, variables: Mapping[str, str]) -> Path:
    folder = variables.get("XDG_CACHE_HOME") or f"{variables.get('HOME', '')}/.cache"
    version = (versions.server or "").removeprefix("v")
    return Path(folder) / "everestctl" / f"everest-db-namespace-{version}.tgz"


async def why_unreachable(address: str) -> str | None:
    """None where something answers there, whatever it says."""
    return await asyncio.to_thread(_ask, address)


def _ask(address: str) -> str | None:
    try:
        urllib.request.urlopen(address, timeout=_SILENCE_SECONDS).close()
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return None
