#!/bin/sh
# Stands in for Alpine's package manager in an image made of Debian packages. It installs ca-certificates, whose
# content the image carries, and refuses everything else.
set -eu

packages=/usr/share/stand-in/packages

say() { echo "apk (stand-in): $*"; }
fail() { echo "apk (stand-in): ERROR: $*" >&2; exit 1; }

install_certificates() {
    mkdir -p /etc/ssl/certs /usr/share/ca-certificates
    cp -R "$packages/ca-certificates/." /usr/share/ca-certificates/
    find /usr/share/ca-certificates -name '*.crt' | sort | while read -r file; do cat "$file"; done \
        > /etc/ssl/certs/ca-certificates.crt
    ln -sf certs/ca-certificates.crt /etc/ssl/cert.pem
    say "installed ca-certificates: $(grep -c 'BEGIN CERTIFICATE' /etc/ssl/certs/ca-certificates.crt) certificates"
}

command=
wanted=
for word in "$@"; do
    case $word in
        -*) ;;
        *) if [ -z "$command" ]; then command=$word; else wanted="$wanted $word"; fi ;;
    esac
done

case $command in
    add)
        say "this image is a stand-in for Alpine made of Debian packages"
        [ -n "$wanted" ] || fail "add needs the name of a package"
        for package in $wanted; do
            [ "$package" = ca-certificates ] \
                || fail "the stand-in has no package $package, only ca-certificates; the real alpine image has it"
        done
        install_certificates
        ;;
    update) say "nothing to update: the stand-in carries its packages" ;;
    *) fail "the stand-in knows 'apk add ca-certificates' and 'apk update', not 'apk $*'" ;;
esac
