"""What the benchmarks stand on: tools that cost nothing, with which the real workflow runs to its end."""

from pathlib import Path

from tests.laboratory.benchmarks.tools import make_tools
from tests.support.workflows import open_bench


async def test_the_workflow_succeeds_with_their_tools(tmp_path: Path) -> None:
    tools = make_tools(tmp_path / "tools")
    command = tools.variables["EVEREST_RBAC_APPLY_CMD"]
    async with open_bench(tools.variables, EVEREST_RBAC_APPLY_CMD=command) as bench:
        for username in ("first", "second"):
            made = await bench.attempt(f"{username}-1", username=username)
            assert (made.failure, made.failed_step) == (None, None)
