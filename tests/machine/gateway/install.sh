#!/bin/sh
# install.sh REQUIREMENTS: installs the gateway into an image, with the LiteLLM of this list for pip;
# runs inside it, with this folder's parent at /mnt.
set -eu

requirements=$1

base=/opt/HX-Infrastructure-/api-gateway
venv=$base/gateway/venv
engines=/opt/prisma-engines
config=$base/config/api-gateway/config.yaml
units=/etc/systemd/system

useradd --system --user-group --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin hx-gateway

# The engine stand-ins
mkdir -p "$engines"
cp -r /mnt/engines/package.json /mnt/engines/package-lock.json /mnt/engines/lib \
    /mnt/engines/schema /mnt/engines/query-engine /mnt/engines/schema-engine "$engines"
npm ci --prefix "$engines" --ignore-scripts --no-audit --no-fund --no-update-notifier
npm ci --prefix "$engines/schema" --ignore-scripts --no-audit --no-fund --no-update-notifier

# LiteLLM and its database client: the list is complete, and pip 23.0 finds no hash in it for what
# is asked for with an extra. What is there as a source only would be built with what is not pinned.
echo "LiteLLM and its database client, from PyPI"
mkdir -p "$base/gateway"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --no-cache-dir --require-hashes --no-deps \
    --only-binary=:all: --requirement "$requirements"
"$venv/bin/pip" check

# Prisma's own CLI, where prisma-client-py looks for it; without scripts, as they download engines.
set -a
eval "$(sed -n 's/^Environment=//p' /mnt/gateway/10-prisma.conf)"
set +a
cli=$("$venv/bin/python" -c 'from prisma import config; print(config.binary_cache_dir)')
version=$("$venv/bin/python" -c 'from prisma import config; print(config.prisma_version)')
grep -q "\"prisma\": \"$version\"" /mnt/gateway/prisma/package.json ||
    { echo "gateway/prisma/package.json must name Prisma $version"; exit 1; }
echo "Prisma's own command line program, from npm"
mkdir -p "$cli"
cp /mnt/gateway/prisma/package.json /mnt/gateway/prisma/package-lock.json "$cli"
npm ci --prefix "$cli" --ignore-scripts --no-audit --no-fund --no-update-notifier
packages=$(echo "$venv"/lib/python3.*/site-packages)
# Its types are written out to no depth: only a type checker reads them, but each start of LiteLLM
# imports them three times, of which half its CPU seconds would go.
DATABASE_URL=postgresql://unused PRISMA_PY_CONFIG_RECURSIVE_TYPE_DEPTH=-1 \
    "$venv/bin/prisma" generate --schema "$packages/litellm/proxy/schema.prisma"
# The service cannot write there: what was generated would be compiled anew at every start.
"$venv/bin/python" -m compileall -q "$packages/prisma"
chown -R hx-gateway:hx-gateway "$PRISMA_HOME_DIR"

# The site's own files
cp /mnt/gateway/hx_gateway_ml.py "$base/gateway"
install -D -o hx-gateway -g hx-gateway -m 0640 /mnt/gateway/config.yaml "$config"
install -D -m 0600 /mnt/gateway/ml.env /etc/hx-gateway/ml.env
install -m 0644 /mnt/gateway/hx-litellm-gateway.service /mnt/gateway/hx-gateway-ml.service "$units"
install -D -m 0644 /mnt/gateway/10-prisma.conf "$units/hx-litellm-gateway.service.d/10-prisma.conf"
systemctl enable hx-litellm-gateway.service hx-gateway-ml.service postgresql.service \
    redis-server.service
systemctl disable pgbouncer.service
systemctl mask apt-daily.timer apt-daily-upgrade.timer

systemd-machine-id-setup
apt-get clean
rm -rf /root/.npm /root/.cache /tmp/* /var/lib/apt/lists/*
