# syntax=docker/dockerfile:1
# Prefect's server and worker, the guard, the command mammo: all that trains, checks, deploys.
# Bases are pinned by tag; put the digests your registry gives behind them (docs/containers.md).
ARG PYTHON=python:3.11.13-slim-trixie

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN pip install uv==0.9.7 && python -m venv /opt/mammo
COPY pyproject.toml requirements.lock README.md ./
COPY mammo mammo
COPY flows flows
COPY bentos bentos
COPY monitoring monitoring
COPY data_checks data_checks
RUN uv pip install --no-cache --compile-bytecode --python /opt/mammo/bin/python \
        --constraint requirements.lock --editable '.[train,flows,serve,monitor,checks,postgres,s3]'

FROM ${PYTHON}
ENV PATH=/opt/mammo/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app \
    MAMMO_HOME=/var/lib/mammo/home BENTOML_HOME=/var/lib/mammo/home/bentoml HOME=/tmp
WORKDIR /app
# pg_dump and pg_restore for `mammo backup`: of the version of the server in docker-compose.yml
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mammo \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/mammo /backups \
    && install --directory --owner=10001 --group=10001 --mode=0711 /run/tokens
COPY --from=build /opt/mammo /opt/mammo
COPY --from=build /app /app
COPY configs configs
COPY deploy deploy
COPY prefect.yaml ./
USER 10001:10001
VOLUME /var/lib/mammo
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=90s --retries=3 \
    CMD ["python", "deploy/docker/healthy.py", "worker"]
CMD ["python", "-m", "prefect", "worker", "start", "--pool", "mammo", "--type", "process", \
     "--name", "mammo-worker", "--limit", "4", "--install-policy", "never"]
