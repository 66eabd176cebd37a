"""`make test-image`: builds every image, and runs them as the README says, on a real Docker engine.

Base images are pulled, or made here where no registry is reached. everestctl is the simulated one and kubectl that of a
wheel, both served by this machine through the build arguments for their addresses; they work on a simulated cluster.
Port 8080 has to be free. The images that are built here are removed in the end: their everestctl is no real one.
"""

import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.laboratory.image import alone, bare, composed, contents
from tests.laboratory.image.bases import provide_bases
from tests.laboratory.image.composed import Composition
from tests.laboratory.image.engine import NoEngine, compose_clients, docker, engine
from tests.laboratory.image.surroundings import Surroundings, surroundings

Proof = Callable[[Surroundings], None]


def main() -> int:
    try:
        with engine(), tempfile.TemporaryDirectory() as name:
            return prove_all(Path(name))
    except NoEngine as error:
        print(f"nothing was proved: no Docker engine can be used here: {error}", file=sys.stderr)
        return 1


def prove_all(folder: Path) -> int:
    for tag in provide_bases(folder):
        print(f"note  {tag} is a stand-in made here: the published image could not be pulled")
    _require_port(8080)
    with surroundings(folder) as here:
        try:
            for proof in choose(proofs(), sys.argv[1:]):
                if not prove(proof, here):
                    return 1
        finally:
            docker("rmi", "-f", *contents.IMAGES, *contents.OF_COMPOSE_ALONE, expect=None)
    return 0


def proofs() -> list[tuple[str, Proof]]:
    """In the order in which they are shown; the first builds what the others run."""
    shown: list[Proof] = [
        contents.every_target_is_built,
        contents.images_hold_what_they_need_and_no_more,
        contents.downloads_are_checked,
        alone.the_copied_line_works,
        alone.a_read_only_root_is_enough,
        alone.another_user_hands_over_nothing,
        alone.what_is_wrong_is_said_at_start,
        alone.the_demo_needs_no_cluster,
    ]
    named = [(_describe(proof), proof) for proof in shown]
    for client in compose_clients():
        steps = (
            composed.the_readme_works_as_it_stands,
            composed.a_killed_handler_loses_nothing,
            composed.down_and_up_again_loses_nothing,
            composed.the_demo_file_needs_no_cluster,
        )
        named += [(f"{' '.join(client)}: {_describe(step)}", partial(step, client=client)) for step in steps]
    return [*named, (_describe(bare.the_tests_run_with_pip_alone), bare.the_tests_run_with_pip_alone)]


def choose(shown: list[tuple[str, Proof]], words: list[str]) -> list[tuple[str, Proof]]:
    """Those that name one of the words, behind the one that builds; all of them without words."""
    return [one for one in shown if not words or one is shown[0] or any(word in one[0] for word in words)]


def prove(proof: tuple[str, Proof], here: Surroundings) -> bool:
    name, show = proof
    started_at = time.monotonic()
    try:
        show(here)
    except Exception:
        print(f"FAIL  {name}\n{traceback.format_exc()}", file=sys.stderr)
        for client in compose_clients():
            composition = Composition(here, client)
            print(composition("logs", "--tail", "40")[-8000:], file=sys.stderr)
            composition.remove()
        return False
    print(f"ok    {name} ({time.monotonic() - started_at:.0f} s)", flush=True)
    return True


def _describe(proof: Callable[..., None]) -> str:
    return f"{proof.__name__.replace('_', ' ')}: {(proof.__doc__ or '').strip()}"


def _require_port(port: int) -> None:
    try:
        socket.create_server(("0.0.0.0", port)).close()
    except OSError as error:
        raise NoEngine(f"port {port}, which compose.yaml publishes, cannot be had: {error}.") from None


if __name__ == "__main__":
    sys.exit(main())
