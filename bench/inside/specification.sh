#!/bin/bash
# Steps 1 to 5 of the specification as they stand there, but for sudo, which is not installed;
# the values of step 0 are in the environment.

export BASE="/opt/HX-Infrastructure-/api-gateway"
install -d -m 0755 "$BASE/config/api-gateway"

bash -c "cat > $BASE/config/api-gateway/gateway.env" <<END
# Postgres (LiteLLM will auto-initialize tables on start)
DATABASE_URL=postgresql://${PG_USER}:${PG_PASS}@${PG_HOST}:${PG_PORT}/${PG_DB}

# Redis (for cache/rate-limit if enabled)
REDIS_URL=redis://:${REDIS_PASS}@${REDIS_HOST}:${REDIS_PORT}/0

# Optional hardening / switches
DISABLE_ADMIN_UI=true
END

chown root:hx-gateway "$BASE/config/api-gateway/gateway.env"
chmod 640 "$BASE/config/api-gateway/gateway.env"

mkdir -p /etc/systemd/system/hx-litellm-gateway.service.d
bash -c 'cat > /etc/systemd/system/hx-litellm-gateway.service.d/30-db.conf' <<'END'
[Service]
EnvironmentFile=/opt/HX-Infrastructure-/api-gateway/config/api-gateway/gateway.env
END

mkdir -p /etc/systemd/system/hx-gateway-ml.service.d
bash -c 'cat > /etc/systemd/system/hx-gateway-ml.service.d/30-db.conf' <<'END'
[Service]
EnvironmentFile=/opt/HX-Infrastructure-/api-gateway/config/api-gateway/gateway.env
END

systemctl daemon-reload

export CFG="$BASE/config/api-gateway/config.yaml"

sed -i '/^[[:space:]]*disable_spend_logs:/d' "$CFG"
sed -i '/^[[:space:]]*disable_error_logs:/d' "$CFG"

grep -q '^general_settings:' "$CFG" || \
  sed -i '1igeneral_settings:' "$CFG"

awk 'BEGIN{done=0}
  /^general_settings:/ && !done {print; print "  disable_spend_logs: false"; print "  disable_error_logs: false"; done=1; next}
  {print}' "$CFG" | tee "$CFG.tmp" >/dev/null && mv "$CFG.tmp" "$CFG"

bash -c "echo 'LITELLM_REDIS_URL=\${REDIS_URL}' >> $BASE/config/api-gateway/gateway.env"

bash -c 'cat > /etc/systemd/system/hx-litellm-gateway.service.d/40-cache.conf' <<'END'
[Service]
# LiteLLM cache (Redis) - REDIS_URL comes from gateway.env
Environment=LITELLM_CACHE=1
# Example simple rate limit: 60 req/min per key (adjust later in config if needed)
Environment=LITELLM_RATE_LIMIT_ENABLED=1
Environment=LITELLM_RATE_LIMIT_TOKENS_PER_MINUTE=60
END

systemctl daemon-reload

systemctl restart hx-litellm-gateway
sleep 5 && systemctl is-active --quiet hx-litellm-gateway || { echo "liteLLM failed"; exit 1; }

systemctl restart hx-gateway-ml
sleep 5 && systemctl is-active --quiet hx-gateway-ml || { echo "wrapper failed"; exit 1; }
