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

# given NAME VALUE SHAPE WORDS: what goes into the configuration is an address, and nothing that
# would end the quotes it is put into; grep alone looks at each line by itself
given() {
    [ -n "$2" ] || refuse "set $1 in .env (docs/containers.md, \"Who is told\")"
    case "$2" in
        *[!A-Za-z0-9@._:/?=\&%+,~-]*) refuse "$1 is no address: it holds a character beside A-Z a-z 0-9 @._:/?=&%+,~-" ;;
    esac
    printf '%s\n' "$2" | grep -Eq "^$3\$" || refuse "$1 is $4"
}
mail='[A-Za-z0-9._%+=&~-]+@[A-Za-z0-9.-]+'

# need NAME LINE: without the line of CONFIG that NAME stands for, it would be ignored in silence
need() {
    grep -Eq "$2" "$told" || refuse "$config has no \"$(printf '%s' "$2" | sed 's/([[].*//; s/[\\^$]//g')\" that $1 could replace: put it back"
}

# put NAME KEY EXAMPLE VALUE: VALUE where CONFIG has `KEY: EXAMPLE`. It is quoted, and what is
# quoted is no example: a value that looks like another's stays as it is
put() {
    need "$1" "$2: $3([,}]|\$)"
    quoted=$(printf '%s' "$4" | sed 's/&/\\&/g')  # it means something to sed
    sed -E -i "s#($2: )$3([,}]|\$)#\\1\"$quoted\"\\2#" "$told"
}

config=$1
shift
told=$(mktemp)

if [ "${MAMMO_SMTP_HOST:-}" = none ]; then
    echo "alertmanager: MAMMO_SMTP_HOST=none: nobody is told of any alert" >&2
    printf 'route: {receiver: nobody}\nreceivers: [{name: nobody}]\n' >"$told"
    exec "$@" --config.file="$told"
fi

sed "s|^  - alertmanager\.tmpl\$|  - $(dirname "$config")/alertmanager.tmpl|" "$config" >"$told"

given MAMMO_SMTP_HOST "${MAMMO_SMTP_HOST:-}" '[A-Za-z0-9._-]+:[0-9]+' 'host:port, for example mail.example.org:587'
put MAMMO_SMTP_HOST smtp_smarthost 'localhost:25' "$MAMMO_SMTP_HOST"
given MAMMO_SMTP_FROM "${MAMMO_SMTP_FROM:-}" "$mail" 'no address: one, for example mammo@example.org'
put MAMMO_SMTP_FROM smtp_from 'mammo@example\.org' "$MAMMO_SMTP_FROM"

recipients() {
    given "$1" "$3" "$mail(,$mail)*" 'no address, nor several with a comma between them'
    put "$1" to "$2@example\\.org" "$3"
}
recipients MAMMO_ONCALL_MAIL on-call "${MAMMO_ONCALL_MAIL:-}"
recipients MAMMO_TEAM_MAIL team "${MAMMO_TEAM_MAIL:-}"
recipients MAMMO_READERS_MAIL readers "${MAMMO_READERS_MAIL:-}"

# secret NAME VALUE FILE: the address of a webhook lets its holder call it, so that it comes from a
# file, as a password does; a variable goes before it
secret() {
    [ -z "$2" ] || { printf '%s' "$2"; return; }
    [ -s "$3" ] || return 0
    [ -r "$3" ] || refuse "$3 of $1 cannot be read by user $(id -u): chmod 0644 that secret"
    cat "$3"
}

# a webhook that nobody named is taken out: its calls would fail, and that is an alert
webhook() {
    if [ -n "$3" ]; then
        given "$2" "$3" 'https?://.+' 'no address of http:// or https://'
        put "$2" url "http://localhost:9095/$1" "$3"
    else
        sed -i "/webhook_configs:/{N;N;/9095\/$1\n/d}" "$told"
    fi
}
pager=$(secret MAMMO_ONCALL_WEBHOOK "${MAMMO_ONCALL_WEBHOOK:-}" "${MAMMO_ONCALL_WEBHOOK_FILE:-}")
readers=$(secret MAMMO_READERS_WEBHOOK "${MAMMO_READERS_WEBHOOK:-}" "${MAMMO_READERS_WEBHOOK_FILE:-}")
watchdog=$(secret MAMMO_WATCHDOG_URL "${MAMMO_WATCHDOG_URL:-}" "${MAMMO_WATCHDOG_URL_FILE:-}")
webhook pager MAMMO_ONCALL_WEBHOOK "$pager"
webhook readers MAMMO_READERS_WEBHOOK "$readers"
webhook watchdog MAMMO_WATCHDOG_URL "$watchdog"
if [ -z "$watchdog" ]; then
    echo "alertmanager: without the secret watchdog_url nobody hears if this stack falls silent" >&2
    [ -n "$pager" ] || echo "alertmanager: with mail alone nobody hears if mail fails: write the secret oncall_webhook or watchdog_url" >&2
fi

case "${MAMMO_SMTP_TLS:-on}" in
    on) ;;
    off)
        need MAMMO_SMTP_TLS '^  smtp_require_tls: true$'
        sed -i 's|^  smtp_require_tls: true$|  smtp_require_tls: false|' "$told"
        ;;
    *) refuse "MAMMO_SMTP_TLS is on or off" ;;
esac
if [ -n "${MAMMO_SMTP_USER:-}" ]; then
    password=${MAMMO_SMTP_PASSWORD_FILE:-/run/secrets/smtp_password}
    [ -s "$password" ] || refuse "MAMMO_SMTP_USER is set, and $password is empty: write the password into the secret smtp_password"
    # an editor that replaces the file leaves it to its owner alone
    [ -r "$password" ] || refuse "$password cannot be read by user $(id -u): chmod 0644 the secret smtp_password"
    # Exchange's users are DOMAIN\user: a backslash is not for addresses, and means something to YAML and sed
    given MAMMO_SMTP_USER "$(printf '%s' "$MAMMO_SMTP_USER" | tr '\134' /)" '.+' 'no user'
    need MAMMO_SMTP_USER '^global:$'
    user=$(printf '%s' "$MAMMO_SMTP_USER" | sed 's/\\/\\\\\\\\/g; s/&/\\&/g')
    sed -i "s|^global:\$|global:\n  smtp_auth_username: \"$user\"\n  smtp_auth_password_file: $password|" "$told"
fi
exec "$@" --config.file="$told"
