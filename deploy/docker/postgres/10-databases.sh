#!/bin/bash
# The databases of mammo, MLflow and Prefect, each with an owner of its own, and a reader for
# Grafana; run by PostgreSQL's image on its first start. Passwords come from the secrets and go
# to the server on standard input: a command line can be read by others.
set -euo pipefail
secrets=${SECRETS:-/run/secrets}

psql_admin() {
    psql --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" "$@"
}

quoted() { # as an SQL literal
    printf "'%s'" "${1//\'/\'\'}"
}

# postgresql://NAME:PASSWORD@HOST/NAME; make_secrets.py writes passwords of letters and digits
for name in mammo mlflow prefect; do
    url=$(<"$secrets/${name}_database_url")
    credentials=${url#*://}
    credentials=${credentials%@*}
    psql_admin --dbname=postgres <<SQL
CREATE ROLE $name LOGIN PASSWORD $(quoted "${credentials#*:}");
CREATE DATABASE $name OWNER $name;
REVOKE CONNECT ON DATABASE $name FROM PUBLIC;
SQL
done
# Prefect searches with it. It is trusted, so its user makes it: a restore as that user may
# then replace it, which an extension of the administrator does not let it
psql_admin --dbname=prefect <<SQL
SET ROLE prefect;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
SQL

psql_admin --dbname=mammo <<SQL
CREATE ROLE mammo_reader LOGIN PASSWORD $(quoted "$(<"$secrets/grafana_reader_password")");
ALTER ROLE mammo_reader SET default_transaction_read_only = on;
ALTER ROLE mammo_reader SET statement_timeout = '30s';
GRANT CONNECT ON DATABASE mammo TO mammo_reader;
GRANT USAGE ON SCHEMA public TO mammo_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE mammo IN SCHEMA public GRANT SELECT ON TABLES TO mammo_reader;
SQL
