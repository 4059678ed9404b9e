#!/bin/sh
# Alertmanager with this installation's addresses: `alertmanager.sh CONFIG PROGRAM ARGUMENT...`
#
# Alertmanager reads no variables. Mail server, recipients and webhooks of CONFIG
# (dashboards/alertmanager.yml) are examples; here those of the environment are put in their
# place, and the program is started with the result. Without a mail server it does not start:
# a stack that looks watched and tells nobody is worse than one that says so.
set -eu

refuse() {
    echo "alertmanager: $*" >&2
    exit 64
}

# what goes into the configuration is an address, and nothing that YAML could read otherwise
given() {
    case "$2" in
        '') refuse "set $1 in .env (docs/containers.md, \"Who is told\")" ;;
        *[!A-Za-z0-9@._:/?=\&%+,~-]*) refuse "$1 is no address: it holds a character beside A-Z a-z 0-9 @._:/?=&%+,~-" ;;
    esac
    # & and | mean something to sed
    printf '%s' "$2" | sed 's/[&|\\]/\\&/g'
}

config=$1
shift
told=$(mktemp)

if [ "${MAMMO_SMTP_HOST:-}" = none ]; then
    echo "alertmanager: MAMMO_SMTP_HOST=none: nobody is told of any alert" >&2
    printf 'route: {receiver: nobody}\nreceivers: [{name: nobody}]\n' >"$told"
    exec "$@" --config.file="$told"
fi

host=$(given MAMMO_SMTP_HOST "${MAMMO_SMTP_HOST:-}")
case "$host" in *:*) ;; *) refuse "MAMMO_SMTP_HOST is host:port, for example mail.example.org:587" ;; esac
from=$(given MAMMO_SMTP_FROM "${MAMMO_SMTP_FROM:-}")
on_call=$(given MAMMO_ONCALL_MAIL "${MAMMO_ONCALL_MAIL:-}")
team=$(given MAMMO_TEAM_MAIL "${MAMMO_TEAM_MAIL:-}")
readers=$(given MAMMO_READERS_MAIL "${MAMMO_READERS_MAIL:-}")

sed -e "s|localhost:25\$|$host|" \
    -e "s|mammo@example\.org|$from|" \
    -e "s|on-call@example\.org|$on_call|" \
    -e "s|team@example\.org|$team|" \
    -e "s|readers@example\.org|$readers|" \
    -e "s|- alertmanager\.tmpl|- $(dirname "$config")/alertmanager.tmpl|" \
    "$config" >"$told"

# a webhook that nobody named is taken out: its calls would fail, and that is an alert
webhook() {
    if [ -n "$3" ]; then
        url=$(given "$2" "$3")  # on its own, so that a refusal ends the script
        sed -i "s|http://localhost:9095/$1|$url|" "$told"
    else
        sed -i "/webhook_configs:/{N;N;/9095\/$1/d}" "$told"
    fi
}
webhook pager MAMMO_ONCALL_WEBHOOK "${MAMMO_ONCALL_WEBHOOK:-}"
webhook readers MAMMO_READERS_WEBHOOK "${MAMMO_READERS_WEBHOOK:-}"
webhook watchdog MAMMO_WATCHDOG_URL "${MAMMO_WATCHDOG_URL:-}"
[ -n "${MAMMO_WATCHDOG_URL:-}" ] || echo "alertmanager: without MAMMO_WATCHDOG_URL nobody hears if this stack falls silent" >&2

case "${MAMMO_SMTP_TLS:-on}" in
    on) ;;
    off) sed -i 's|smtp_require_tls: true|smtp_require_tls: false|' "$told" ;;
    *) refuse "MAMMO_SMTP_TLS is on or off" ;;
esac
if [ -n "${MAMMO_SMTP_USER:-}" ]; then
    password=${MAMMO_SMTP_PASSWORD_FILE:-/run/secrets/smtp_password}
    [ -s "$password" ] || refuse "MAMMO_SMTP_USER is set, and $password is empty: write the password into the secret smtp_password"
    user=$(given MAMMO_SMTP_USER "$MAMMO_SMTP_USER")
    sed -i "s|^global:\$|global:\n  smtp_auth_username: $user\n  smtp_auth_password_file: $password|" "$told"
fi
exec "$@" --config.file="$told"
