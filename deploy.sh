#!/bin/sh
# Builds the image, and runs what compose.yaml describes: two replicas behind a proxy on port 8080, and a Redis.
# Run again, it replaces what runs by a newer build; accepted work stays in Redis.
set -eu
cd "$(dirname "$0")"

say() { printf '%s\n' "$*" >&2; }
fail() { say "deploy.sh: $*"; exit 1; }

usage() {
    say "usage: ./deploy.sh [up | down | status | logs]"
    say "  up      build, start or replace, and wait until all of it is healthy (the default)"
    say "  down    stop in order; the data of Redis stay"
    say "  status  what runs, and how it is"
    say "  logs    follow the log"
    exit 2
}

need_docker() {
    command -v docker >/dev/null 2>&1 || fail "docker is not installed: https://docs.docker.com/engine/install/"
    docker compose version >/dev/null 2>&1 || fail "docker has no 'compose': install its plugin, docker-compose-plugin"
    docker info >/dev/null 2>&1 || fail "the Docker engine does not answer: start it, or set DOCKER_HOST"
}

# Settings that must not change between two runs stand in .env, which Compose reads by itself.
keep_secret() {
    [ -n "${ORCH_JWT__SECRET:-}" ] && return
    [ -f .env ] && grep -q '^ORCH_JWT__SECRET=' .env && return
    # A file that ends in the middle of a line would have the secret as a part of that.
    if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >>.env; fi
    (umask 077 && printf 'ORCH_JWT__SECRET=%s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >>.env)
    say "A secret for tokens was made, and stands in .env; set ORCH_JWT__JWKS_URL where an identity provider signs them."
}

[ $# -le 1 ] || usage
case "${1:-up}" in
    up)
        need_docker
        keep_secret
        docker compose up --build --detach --wait || fail "it did not become healthy; './deploy.sh logs' says why"
        say "It is ready: http://localhost:8080/health"
        ;;
    down) need_docker && docker compose down ;;
    status) need_docker && docker compose ps ;;
    logs) need_docker && docker compose logs --follow --tail 100 ;;
    *) usage ;;
esac
