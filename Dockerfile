# Targets: gateway (no CLI), handler (kubectl, everestctl), demo (a simulated Everest, no everestctl), and the last one, which
# is the default and runs all of it on one machine. In this order the classic builder, too, makes only what a target needs.

FROM python:3.11-slim AS packages
COPY requirements-run.txt requirements-swagger-ui.txt ./
# Wheels only, so that nothing is ever compiled, but for nkeys: all Python, and published as source alone.
# /app comes after the installed packages: its nats/ holds files.
RUN python -m venv --without-pip /opt/everest \
 && pip --python /opt/everest/bin/python install --no-cache-dir --require-hashes --only-binary :all: --no-binary nkeys \
      -r requirements-run.txt \
 && echo /app >"$(/opt/everest/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/everest.pth"
# Of Swagger UI's package the files alone; it and Flask are in no image.
RUN pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --target /swagger -r requirements-swagger-ui.txt \
 && cd /swagger/flask_swagger_ui/dist \
 && install -D -m 0644 -t /gateway/swagger_ui swagger-ui-bundle.js swagger-ui.css LICENSE VERSION


FROM python:3.11-slim AS base
# Root's folder may be passed through: a kubeconfig is mounted there, also for a container that starts as its owner.
RUN groupadd --gid 10001 everest \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin everest \
 && install -d -o 10001 -g 10001 /data \
 && chmod 0711 /root
ENV PATH=/opt/everest/bin:$PATH \
    HOME=/data \
    HOST=0.0.0.0 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=packages /opt/everest /opt/everest
COPY LICENSE ./
COPY contracts contracts
COPY nats nats
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="everest-bootstrap" \
      org.opencontainers.image.description="Onboards a Percona Everest tenant as one durable job on NATS JetStream" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="python:3.11-slim"


FROM base AS gateway
COPY gateway gateway
COPY --from=packages /gateway gateway
# Readable for everybody, whatever umask the checkout had.
RUN chmod -R a+rX /app && python -m compileall -q /app
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["sh", "-c", "exec python -I -S gateway/image/probe.py \"${PORT:-8080}\""]
ENTRYPOINT ["python", "-m", "gateway"]


FROM python:3.11-slim AS kubectl
COPY handlers/image/download.py /
# Set by BuildKit; the classic builder builds for the machine it runs on.
ARG TARGETARCH
# Empty means the value below: Compose's first version hands on what is unset as empty.
# The version: within one minor of the cluster's. The sum is not checked when empty: one, or amd64:… arm64:…
ARG KUBECTL_VERSION
ARG KUBECTL_URL
ARG KUBECTL_SHA256
RUN python /download.py /usr/local/bin/kubectl --arch "$TARGETARCH" --sha256 "$KUBECTL_SHA256" \
      --version "${KUBECTL_VERSION:-1.34.2}" \
      --url "${KUBECTL_URL:-https://dl.k8s.io/release/v@VERSION@/bin/linux/@ARCH@/kubectl}" \
 && kubectl version --client


FROM base AS handling
COPY --from=kubectl /usr/local/bin/kubectl /usr/local/bin/
COPY handlers handlers
# The recommended EVEREST_RBAC_APPLY_CMD.
RUN printf '%s\n' '#!/opt/everest/bin/python' 'import sys' 'from handlers.rbac_import import main' 'sys.exit(main())' \
      >/opt/everest/bin/everest-rbac-import \
 && chmod 0755 /opt/everest/bin/everest-rbac-import \
 && install -m 0755 handlers/image/entrypoint /usr/local/bin/everest-entrypoint \
 && rm -r handlers/image \
 && chmod -R a+rX /app && python -m compileall -q /app
ENV KUBECONFIG=/root/.kube/config \
    XDG_CACHE_HOME=/data/cache \
    READY_FILE=/tmp/ready


FROM nats:2.15.1-alpine AS nats


FROM handling AS demo
COPY --from=nats /usr/local/bin/nats-server /usr/local/bin/
COPY gateway gateway
COPY --from=packages /gateway gateway
COPY tests tests
RUN chmod -R a+rX /app && python -m compileall -q /app
ENV PATH=/app/tests/simulator/bin:$PATH \
    KUBECONFIG= \
    DATA_DIR=/data
USER 10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["sh", "-c", "exec python -I -S gateway/image/probe.py \"${PORT:-8080}\""]
CMD ["python", "-m", "tests.demo"]


FROM python:3.11-slim AS everestctl
COPY handlers/image/download.py /
ARG TARGETARCH
# The version: of the same minor as the Everest server's. https://docs.percona.com/everest/ says what each one holds.
ARG EVERESTCTL_VERSION
ARG EVERESTCTL_URL
ARG EVERESTCTL_SHA256
RUN python /download.py /usr/local/bin/everestctl --arch "$TARGETARCH" --sha256 "$EVERESTCTL_SHA256" \
      --version "${EVERESTCTL_VERSION:-1.10.0}" \
      --url "${EVERESTCTL_URL:-https://github.com/openeverest/openeverest/releases/download/v@VERSION@/everestctl-linux-@ARCH@}" \
 && everestctl version --client-only


FROM handling AS handler
COPY --from=everestctl /usr/local/bin/everestctl /usr/local/bin/
USER 10001
# The file is refreshed while the handler could take a job: the last time is at most two minutes ago.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["sh", "-c", "test -n \"$(find \"$READY_FILE\" -mmin -2)\""]
ENTRYPOINT ["everest-entrypoint"]
CMD ["python", "-m", "handlers"]


# Starts as root only to hand over the mounted kubeconfig: see handlers/image/entrypoint. --user 10001 skips that.
FROM handler AS everything
USER root
COPY --from=nats /usr/local/bin/nats-server /usr/local/bin/
COPY gateway gateway
COPY --from=packages /gateway gateway
RUN chmod -R a+rX /app && python -m compileall -q /app
ENV DATA_DIR=/data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["sh", "-c", "exec python -I -S gateway/image/probe.py \"${PORT:-8080}\""]
CMD ["python", "-m", "gateway", "standalone"]
