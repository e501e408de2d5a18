# syntax=docker/dockerfile:1
# escape=\

ARG VERSION=1.2
ARG BASE=alpine:${VERSION%.*}
# base is what the others start from
FROM --platform=$BUILDPLATFORM $BASE AS base
ARG VERSION
ARG GREETING="hello ${VERSION:-none}" OTHER
ENV A=1 B="two words" C=${A:+set} \
    # a note between
    D=$GREETING
ENV LEGACY the old form
LABEL maintainer="someone <someone@example.com>" "with space"=x
MAINTAINER someone
SHELL ["/bin/ash", "-eo", "pipefail", "-c"]
USER nobody:nogroup
WORKDIR /src/$VERSION
WORKDIR sub
RUN --mount=type=cache,target=/root/.cache,id=go,sharing=locked,uid=1000 \
    --mount=type=bind,source=data,target=/data,rw \
    --mount=type=bind,from=busybox,target=/busybox \
    --mount=type=tmpfs,target=/scratch,size=64m \
    --mount=type=secret,id=token,env=TOKEN \
    --mount=type=secret,id=file,target=/run/file,required,mode=0444 \
    --mount=type=ssh \
    --network=none --security=insecure --device=vendor.com/gpu=all,required \
    make all && echo "done"
RUN ["true", "exec form"]
RUN <<EOF
set -e
echo plain
EOF
RUN <<-'SCRIPT'
	#!/usr/bin/env python3
	print("with an interpreter")
	SCRIPT
RUN cat <<A - <<B | sort
one
A
two
B

FROM base AS assets
COPY --chown=1000:staff --chmod=u=rwX,go=rX --exclude=*.md web/ docs/*.txt ./
COPY --parents a/./b/c.txt /parents/
COPY --link one two /linked/
COPY <<first.txt <<"second.txt" /inline/
A is ${A}
first.txt
B is ${B}
second.txt
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.com/archive.tar.gz /archives/
ADD --keep-git-dir https://example.com/repo.git#v1:docs /repo
ADD git@example.com:owner/other.git?ref=v2 /other
ADD --unpack=false local.tar.gz /
ONBUILD COPY --from=base /src /trigger

FROM assets AS unused
RUN never

FROM scratch AS final
COPY --from=0 /src /src
COPY --from=Assets --link /linked /
COPY --from=assets ["/a b", "/c d/"]
COPY --from=nginx:latest /etc/nginx/nginx.conf /nginx.conf
ENV PATH=/src/bin:$PATH
EXPOSE 80 443/tcp 8000-8002/udp
VOLUME /data /cache
VOLUME ["/json"]
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=30s --timeout=1m30s --start-period=500ms --start-interval=2s --retries=3 CMD curl -f http://localhost/
ENTRYPOINT ["/src/app"]
CMD ["--serve"]
