# syntax=docker/dockerfile:1
#
# Two stages: build with the toolchain, run without it. Pin the bases by digest for a release:
#   docker build --build-arg BUILD_BASE=rust@sha256:... --build-arg RUN_BASE=debian@sha256:... .
ARG BUILD_BASE=rust:1.95-bookworm
ARG NODE_BASE=node:22-bookworm-slim
ARG RUN_BASE=debian:bookworm-slim

FROM ${NODE_BASE} AS console
WORKDIR /console
COPY gateway/console/web/package.json gateway/console/web/package-lock.json ./
RUN npm ci
COPY gateway/console/web/ ./
RUN npm run build

FROM ${BUILD_BASE} AS build
# clang and cmake: for targets without a ready-made build of the cryptography library; make: for the allocator.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends clang cmake make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
COPY --from=console /console/dist /console
ENV DATAOS_CONSOLE=require DATAOS_CONSOLE_DIST=/console
# `dev` builds in a fraction of the time, for a look at the image.
ARG PROFILE=release
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --profile "${PROFILE}" --locked -p dataos-gateway -p dataos-ctl \
    && folder="target/$([ "${PROFILE}" = dev ] && echo debug || echo "${PROFILE}")" \
    && install -D -t /built "${folder}/dataos" "${folder}/dataos-ctl"

FROM ${RUN_BASE}
LABEL org.opencontainers.image.title="dataos" \
      org.opencontainers.image.description="Policy-centric data governance platform" \
      org.opencontainers.image.licenses="Apache-2.0"
# tini takes up processes that steps of workflows leave behind; python3 is the stack of that name.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-minimal tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 dataos \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/dataos dataos \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/dataos
COPY --from=build /built/ /usr/local/bin/
# A number, so that a cluster can see that it is not root.
USER 10001:10001
VOLUME /var/lib/dataos
EXPOSE 8443
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/dataos"]
CMD ["serve", "--data-dir", "/var/lib/dataos", "--listen", "0.0.0.0:8443"]
