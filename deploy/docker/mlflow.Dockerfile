# syntax=docker/dockerfile:1
# MLflow, which hands out its artifacts itself.
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
        --constraint requirements.lock --editable '.[mlflow,postgres]'

FROM ${PYTHON}
ENV PATH=/opt/mammo/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app \
    MAMMO_HOME=/var/lib/mammo/home BENTOML_HOME=/var/lib/mammo/home/bentoml HOME=/tmp
WORKDIR /app
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mammo \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/mammo \
    && install --directory --owner=10001 --group=10001 --mode=0711 /run/tokens
COPY --from=build /opt/mammo /opt/mammo
COPY --from=build /app /app
COPY configs configs
COPY deploy deploy
COPY prefect.yaml ./
USER 10001:10001
VOLUME /var/lib/mammo
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=90s --retries=3 \
    CMD ["python", "deploy/docker/healthy.py", "http", "http://127.0.0.1:5000/health"]
CMD ["python", "-m", "flows.stack_mlflow"]
