FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/nooble-orch \
    && /opt/nooble-orch/bin/pip install --no-cache-dir --require-hashes -r orchestrator/frameworks/requirements.lock \
    && /opt/nooble-orch/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home nooble
COPY --from=build /opt/nooble-orch /opt/nooble-orch
COPY hypercorn.toml /etc/nooble-orch/hypercorn.toml
ENV PATH=/opt/nooble-orch/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8000
# The process stops in order on SIGTERM; give it longer than ORCH_DRAIN_TIMEOUT before it is killed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-I", "-c", "import urllib.request; urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://127.0.0.1:8000/health/live', timeout=2)"]
ENTRYPOINT ["nooble-orch"]
CMD ["serve", "-c", "/etc/nooble-orch/hypercorn.toml"]
