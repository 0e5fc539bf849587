#!/bin/sh
# Makes the certificates of the tests anew, for a hundred years. They protect nothing.
#   ca.pem      an authority            server.pem  localhost, signed by it, with its key
#   other.pem   another host, same      client.pem  a client, signed by it, with its key
# Usage: sh make_certificates.sh
set -eu
cd "$(dirname "$0")"
new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500"
openssl req -x509 $new -keyout key.tmp -out ca.pem -subj "/CN=kerasft tests" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
sign() {
  openssl req -x509 $new -CA ca.pem -CAkey key.tmp -keyout own.tmp -out "$1.pem" -subj "/CN=$2" \
    -addext "subjectAltName=$3" -addext "basicConstraints=critical,CA:FALSE"
  cat own.tmp >> "$1.pem"
}
sign server localhost "DNS:localhost,IP:127.0.0.1"
sign other elsewhere.test "DNS:elsewhere.test"
sign client "a client" "DNS:client.test"
rm key.tmp own.tmp
