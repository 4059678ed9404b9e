#!/bin/sh
# Grafana with this installation's mail server, and the password of the database's reader.
set -eu

# the password of a data source can come from a variable alone
MAMMO_DATABASE_READER_PASSWORD=$(cat /run/secrets/grafana_reader_password)
export MAMMO_DATABASE_READER_PASSWORD

case "${GF_SMTP_HOST:-}" in
    '' | none) echo "grafana: no mail server is set; the readers' daily mail is not sent" >&2 ;;
    *) export GF_SMTP_ENABLED=true ;;
esac
if [ "${MAMMO_SMTP_TLS:-on}" = off ]; then
    export GF_SMTP_STARTTLS_POLICY=NoStartTLS
fi
exec /run.sh
