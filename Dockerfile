# Serves a run folder on the CPU:
#   docker build --tag reformer .
#   docker run --rm --publish 127.0.0.1:8000:8000 --volume "$PWD/runs/demo:/run/demo:ro" --env REFORMER_TOKEN=... reformer /run/demo
# The steps are those of a bare machine: a compiler, the kernels, the package with its extra `serve`.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml setup.py MANIFEST.in constraints.txt README.md LICENSE ./
COPY src src
# Further options of pip, such as an index whose torch is for the CPU alone.
ARG PIP_OPTIONS=
RUN python -m venv /reformer \
    && /reformer/bin/python -m pip install --no-cache-dir --constraint constraints.txt 'setuptools>=77' \
    && /reformer/bin/python -m pip install --no-cache-dir --constraint constraints.txt $PIP_OPTIONS '.[serve]'

FROM python:3.11-slim-bookworm
COPY --from=build /reformer /reformer
RUN useradd --create-home --uid 10001 reformer
USER reformer
ENV PATH=/reformer/bin:$PATH HF_HUB_OFFLINE=1
EXPOSE 8000
HEALTHCHECK --interval=30s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
# Within a container every address is reached from outside of it: --publish decides who may.
ENTRYPOINT ["reformer", "serve", "--host", "0.0.0.0"]
