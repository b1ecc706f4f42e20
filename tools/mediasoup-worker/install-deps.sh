#!/bin/sh
# Installs what build.sh needs on Debian 12 (bookworm). Run as root, once. What is
# installed already stays as it is.
#
#   g++ make                  compiler and build driver
#   libuv1-dev                1.44.2  (mediasoup pins 1.51.0)
#   libssl-dev                3.0.x   (mediasoup pins 3.0.8)
#   libflatbuffers-dev,
#   flatbuffers-compiler      2.0.8   (mediasoup pins 24.3.25)
#   curl ca-certificates      to fetch the libsrtp2 source package from the mirror
#   libsrtp2-dev              only needed with SRTP_BACKEND=nss
set -eu

packages="g++ make libuv1-dev libssl-dev libflatbuffers-dev flatbuffers-compiler curl ca-certificates"

[ "${SRTP_BACKEND:-openssl}" = nss ] && packages="$packages libsrtp2-dev"

apt-get update
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-upgrade $packages
