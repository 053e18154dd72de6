# `empnn serve` in a container, with the CPU build of torch and the versions of requirements.lock: docs/hosting.md.
#   docker build -t empnn . && docker run --rm -p 127.0.0.1:8000:8000 empnn
FROM python:3.11-slim-bookworm AS build
# Where torch comes from; `--build-arg TORCH_INDEX=` takes the ordinary index, whose builds are for NVIDIA GPUs.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY requirements.lock ./
RUN python -m venv /opt/empnn \
    && /opt/empnn/bin/python -m pip install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' requirements.lock)"
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --constraint requirements.lock hatchling \
    && /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && set -- wheels/*.whl \
    && /opt/empnn/bin/python -m pip install --constraint requirements.lock "$1[web]"

FROM python:3.11-slim-bookworm
COPY --from=build /opt/empnn /opt/empnn
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin empnn
# Nothing is written but what libraries keep of their own, below /tmp.
ENV PATH=/opt/empnn/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
WORKDIR /work
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/api/about', timeout=8)"]
ENTRYPOINT ["empnn"]
# By another name it answers as `serve --host 0.0.0.0 --name NAME`.
CMD ["serve", "--host", "0.0.0.0", "--name", "localhost"]
