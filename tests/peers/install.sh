#!/bin/sh
# Programs that the peer tests call. Without root or apt the tests that need them skip with a reason.
set -eu
missing=""
command -v sipp >/dev/null 2>&1 || missing="$missing sip-tester"
command -v baresip >/dev/null 2>&1 || missing="$missing baresip-core"
command -v kamailio >/dev/null 2>&1 || test -x /usr/sbin/kamailio || missing="$missing kamailio"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
ldconfig -p 2>/dev/null | grep -q 'libflite\.so\.1' || missing="$missing libflite1"
# Piper (GPL-3.0-or-later) gets an environment of its own: it is a program to us, never a package.
if [ ! -x .venv-piper/bin/piper ] && ! command -v piper >/dev/null 2>&1; then
  python3 -m venv .venv-piper && .venv-piper/bin/python -m pip install --quiet --disable-pip-version-check piper-tts==1.8.0 ||
    { rm -rf .venv-piper; echo "tests that need piper will skip"; }
fi
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "tests that need$missing will skip (no root or no apt)"
  exit 0
fi
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends $missing >/dev/null
