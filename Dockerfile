# All programs of andon in one image and nothing else: no shell, no libc, no package that
# needs an update. Build it by "make image", which adds the labels of the commit, or by
# "docker build -t andon .".
#
#   docker run --rm andon --simulate                                # a worker, to try
#   docker run --read-only -v andon:/var/lib/andon andon …          # one that brings its own broker
#   docker run --rm --entrypoint andon andon status --nats-url …    # any other program
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# With .git, of which Go takes the version that the programs tell.
COPY . .
ARG TARGETOS TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH make build BIN=/image/
# Not the certificates of this stage's system, which differ from one pull to the next.
RUN mkdir -p /image/etc/ssl/certs && go -C tools run ./cabundle >/image/etc/ssl/certs/ca-certificates.crt
RUN mkdir -p /image/var/lib && mkdir -p -m 0700 /store/andon

FROM scratch
COPY --from=build /image/ /
# The one place where files may be kept: a new volume takes on its owner and mode.
COPY --from=build --chown=65532:65532 /store/ /var/lib/
ENV PATH=/ ANDON_STORE_DIR=/var/lib/andon
USER 65532:65532
ENTRYPOINT ["/worker"]
ARG VERSION=unknown REVISION=unknown CREATED=unknown
LABEL org.opencontainers.image.title="andon" \
      org.opencontainers.image.description="Pauses bad rollouts on Tencent Cloud Auto Scaling" \
      org.opencontainers.image.source="https://github.com/seed-a7c21902/andon" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.created=$CREATED
