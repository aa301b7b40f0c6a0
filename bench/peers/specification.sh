#!/bin/bash
# The specification's steps 1 to 3 as it has them, over the tree "$ROOT" in place of the host: its
# commands without sudo, and without systemctl, since a tree has no units. The group is named by
# its number, which is the tree's own. The values of step 0 come from the environment.
set -e

BASE=/opt/HX-Infrastructure-/api-gateway

# Step 1
install -d -m 0755 "$ROOT$BASE/config/api-gateway"
cat >"$ROOT$BASE/config/api-gateway/gateway.env" <<EOF
# Postgres (LiteLLM will auto-initialize tables on start)
DATABASE_URL=postgresql://${PG_USER}:${PG_PASS}@${PG_HOST}:${PG_PORT}/${PG_DB}

# Redis (for cache/rate-limit if enabled)
REDIS_URL=redis://:${REDIS_PASS}@${REDIS_HOST}:${REDIS_PORT}/0

# Optional hardening / switches
DISABLE_ADMIN_UI=true
EOF
chown "root:$GATEWAY_GROUP" "$ROOT$BASE/config/api-gateway/gateway.env"
chmod 640 "$ROOT$BASE/config/api-gateway/gateway.env"

# Step 2
mkdir -p "$ROOT/etc/systemd/system/hx-litellm-gateway.service.d"
cat >"$ROOT/etc/systemd/system/hx-litellm-gateway.service.d/30-db.conf" <<'EOF'
[Service]
EnvironmentFile=/opt/HX-Infrastructure-/api-gateway/config/api-gateway/gateway.env
EOF
mkdir -p "$ROOT/etc/systemd/system/hx-gateway-ml.service.d"
cat >"$ROOT/etc/systemd/system/hx-gateway-ml.service.d/30-db.conf" <<'EOF'
[Service]
EnvironmentFile=/opt/HX-Infrastructure-/api-gateway/config/api-gateway/gateway.env
EOF

# Step 3
CFG="$ROOT$BASE/config/api-gateway/config.yaml"
sed -i '/^[[:space:]]*disable_spend_logs:/d' "$CFG"
sed -i '/^[[:space:]]*disable_error_logs:/d' "$CFG"
grep -q '^general_settings:' "$CFG" || sed -i '1igeneral_settings:' "$CFG"
awk 'BEGIN{done=0}
  /^general_settings:/ && !done {print; print "  disable_spend_logs: false"; print "  disable_error_logs: false"; done=1; next}
  {print}' "$CFG" | tee "$CFG.tmp" >/dev/null && mv "$CFG.tmp" "$CFG"
