#!/bin/sh
# Grafana with this installation's mail server, and the password of the database's reader:
# `grafana.sh [PROGRAM]`, by default the image's own start.
set -eu

# the password of a data source can come from a variable alone
MAMMO_DATABASE_READER_PASSWORD=$(cat "${MAMMO_DATABASE_READER_PASSWORD_FILE:-/run/secrets/grafana_reader_password}")
export MAMMO_DATABASE_READER_PASSWORD

# .env has a comma between addresses, as Alertmanager asks; contact-points.yaml has a semicolon
MAMMO_READERS_MAIL=$(printf '%s' "${MAMMO_READERS_MAIL:-}" | tr ',' ';')
export MAMMO_READERS_MAIL

# a contact point needs an address: without the secret it calls one that nobody answers
MAMMO_READERS_WEBHOOK=$(cat "${MAMMO_READERS_WEBHOOK_FILE:-/run/secrets/readers_webhook}")
export MAMMO_READERS_WEBHOOK="${MAMMO_READERS_WEBHOOK:-http://localhost:9}"

case "${GF_SMTP_HOST:-}" in
    '' | none) echo "grafana: no mail server is set; the readers' daily mail is not sent" >&2 ;;
    *) export GF_SMTP_ENABLED=true ;;
esac
if [ "${MAMMO_SMTP_TLS:-on}" = off ]; then
    export GF_SMTP_STARTTLS_POLICY=NoStartTLS
fi
exec "${1:-/run.sh}"
