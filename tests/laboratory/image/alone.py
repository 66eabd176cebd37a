"""The default image with `docker run`."""

import os
from pathlib import Path

from tests.laboratory.image.containers import KEY, ask, follow, started, submit, wait_until_ready
from tests.laboratory.image.contents import TARGETS, WHOLE
from tests.laboratory.image.engine import docker
from tests.laboratory.image.surroundings import OWNER, Surroundings

VOLUME = "everest-image-proof-data"
CHECK = ("python", "-m", "handlers", "--check")


def the_copied_line_works(here: Surroundings) -> None:
    """docker run -p 8080:8080 -e ADMIN_API_KEY=… -v …/.kube/config:… with a kubeconfig of mode 0600 and owner 1000"""
    words = ["-p", "8080:8080", "-e", "ADMIN_API_KEY=changeme", "-v", f"{here.kubeconfig}:/root/.kube/config:ro"]
    with started(*words, WHOLE) as container:
        wait_until_ready()
        job = follow(submit("alone"))
        assert job["status"] == "succeeded", job
        assert job["simulated"] is True
        assert "alone" in [account["user"] for account in ask("GET", "/accounts/list")["data"]]
        processes = container.processes()
        assert {uid for uids in processes.values() for uid in uids} == {"10001"}, processes
        assert any("-m handlers" in command for command in processes)
        status = container.execute("cat", "/proc/1/status", user="10001")
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        copy = container.execute("sh", "-c", "stat -c '%a %u' /dev/shm/everest.*/kubeconfig; stat -f -c %T /dev/shm")
        assert copy.split() == ["400", "10001", "tmpfs"], copy
        assert "everest: " not in container.logs()
        container.execute("python", "-I", "-S", "gateway/image/probe.py", "8080", user="10001")
        docker("stop", "-t", "60", container.name)
        assert container.inspect("{{.State.ExitCode}}") == "0"


def a_read_only_root_is_enough(here: Surroundings) -> None:
    """with --read-only and --tmpfs /tmp, and nothing on the volume /data is lost between two containers"""
    words = ["-p", "8080:8080", "-e", "ADMIN_API_KEY=changeme", "-v", f"{here.kubeconfig}:/root/.kube/config:ro"]
    words += ["--read-only", "--tmpfs", "/tmp", "-v", f"{VOLUME}:/data"]
    docker("volume", "rm", "-f", VOLUME)
    try:
        with started(*words, WHOLE) as container:
            wait_until_ready()
            job_id = submit("readonly", operators={"postgresql": True})
            assert follow(job_id)["status"] == "succeeded"
            container.execute("sh", "-c", "! touch /app/x 2>/dev/null && touch $XDG_CACHE_HOME/x", user="10001")
            docker("stop", "-t", "60", container.name)
        with started(*words, WHOLE):
            wait_until_ready()
            assert follow(job_id)["status"] == "succeeded"
    finally:
        docker("volume", "rm", "-f", VOLUME)


def another_user_hands_over_nothing(here: Surroundings) -> None:
    """--user: as the kubeconfig's owner it is read in its place; KUBECONFIG names another file, for root too"""
    mount = f"{here.kubeconfig}:/root/.kube/config:ro"
    elsewhere = f"{here.kubeconfig}:/etc/elsewhere:ro"
    for image in (WHOLE, TARGETS["handler"]):
        said = docker(
            "run", "--rm", "--user", f"{OWNER}:{OWNER}", "--tmpfs", "/data:mode=1777", "-v", mount, image, *CHECK
        )
        assert "everest: " not in said, said
    said = docker("run", "--rm", "-v", elsewhere, "-e", "KUBECONFIG=/etc/elsewhere", WHOLE, *CHECK)
    assert "everest: " not in said, said


def what_is_wrong_is_said_at_start(here: Surroundings) -> None:
    """a folder made by Docker, no file, an unreadable one, a cluster at 127.0.0.1, an exec plugin, certificate files"""
    kubeconfig = here.kubeconfig.read_text()
    server = next(line.split()[1] for line in kubeconfig.splitlines() if "server:" in line)
    folder = here.home / "wrong"
    folder.mkdir()
    assert "is a folder: Docker makes one" in _check(folder / "never-made")
    assert "there is no kubeconfig at /root/.kube/config" in docker("run", "--rm", WHOLE, *CHECK, expect=1)
    assert "cannot be read by user 10001" in _check(here.kubeconfig, "--user", "10001")
    local = _write(folder / "local", kubeconfig.replace(server, "https://127.0.0.1:6443"))
    assert "is https://127.0.0.1:6443, which inside a container is the container itself" in _check(local)
    plugin = "user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, interactiveMode: Never}}"
    secure = kubeconfig.replace("http:", "https:")  # over anything else nobody is asked who he is
    assert "from the program aws, which is not in the image" in _check(
        _write(folder / "plugin", secure.replace("user: {}", plugin))
    )
    files = "user: {client-certificate: /home/me/client.crt, client-key: client.key}"
    said = _check(_write(folder / "files", kubeconfig.replace("user: {}", files)))
    assert "names the file /home/me/client.crt" in said, said
    assert "names the file client.key" in said, said
    said = _check(here.kubeconfig, "--cap-drop", "ALL")
    assert "root may not become user 10001 here" in said, said


def the_demo_needs_no_cluster(here: Surroundings) -> None:
    """docker run of the demo: the simulated Everest and a first job, step by step"""
    with started("-p", "8080:8080", "-e", f"ADMIN_API_KEY={KEY}", TARGETS["demo"]) as container:
        wait_until_ready()
        job = follow(submit("visitor", operators={"mongodb": True}))
        assert job["status"] == "succeeded", job
        assert job["simulated"] is True
        said = container.logs()
        assert "Everest is SIMULATED" in said
        assert "apply_rbac_policy" in said, said
        docker("stop", "-t", "60", container.name)
        assert container.inspect("{{.State.ExitCode}}") == "0"


def _check(kubeconfig: Path, *words: str) -> str:
    """What a container says that cannot work; it has to fail."""
    mount = f"{kubeconfig}:/root/.kube/config:ro"
    return docker("run", "--rm", *words, "-v", mount, WHOLE, *CHECK, expect=1)


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    os.chown(path, OWNER, OWNER)
    return path
