#!/usr/bin/env bash
# Everything the API can do, with curl, against a running `make dev`. Fails at the first answer that is not as promised.
#   make dev                      # in one terminal
#   tests/tour.sh                 # in another; BASE_URL and ADMIN_API_KEY as `make dev` printed them
set -euo pipefail

BASE_URL=${BASE_URL:-http://127.0.0.1:8080}
ADMIN_API_KEY=${ADMIN_API_KEY:-changeme}
PYTHON=${PYTHON:-python3} # reads the JSON
CLIENT=${CLIENT:-$(dirname "$0")/../.venv/bin/everest-bootstrap}
TAG=t$(date +%s)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
PASSED=0

# call METHOD PATH [curl's arguments]: the status in $STATUS, the body in $WORK/body, the headers in $WORK/head.
call() {
  local method=$1 path=$2
  shift 2
  STATUS=$(curl -sS --max-time 90 -o "$WORK/body" -D "$WORK/head" -w '%{http_code}' -X "$method" "$BASE_URL$path" \
    -H "X-Admin-Key: $ADMIN_API_KEY" "$@")
}

# post PATH JSON [curl's arguments]
post() {
  local path=$1 body=$2
  shift 2
  call POST "$path" -H 'Content-Type: application/json' -d "$body" "$@"
}

fail() {
  printf '  NOT AS PROMISED: %s\n  status %s, body: %s\n' "$1" "${STATUS:-none}" "$(head -c 600 "$WORK/body")" >&2
  exit 1
}

title() { printf '\n%s\n' "$1"; }

ok() {
  PASSED=$((PASSED + 1))
  printf '  ok  %s\n' "$1"
}

# expect WHAT STATUS [EXPRESSION]: the expression is Python over the body (b, a dict) and the headers (h, by lower-case name).
expect() {
  [[ $STATUS == "$2" ]] || fail "$1: expected status $2"
  [[ -z ${3:-} ]] || look "$3" || fail "$1: $3"
  ok "$1"
}

look() {
  "$PYTHON" - "$WORK" "$1" <<'PY'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
text = (folder / "body").read_text()
b = json.loads(text) if text[:1] in "{[" and text else text
lines = [line.split(":", 1) for line in (folder / "head").read_text().splitlines() if ":" in line]
h = {name.lower(): value.strip() for name, value in lines}
sys.exit(0 if eval(sys.argv[2], {"b": b, "h": h}) else 1)
PY
}

# take EXPRESSION: its value
take() {
  "$PYTHON" -c 'import json, sys; b = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$WORK/body" "$1"
}

problem() { expect "$1" "$2" "b['code'] == '$3' and h['content-type'] == 'application/problem+json' and b['type'] == '/docs/errors#$3' and b['title'] and b['detail'] and 'hint' in b and 'retryable' in b and b['status'] == $2"; }

title "1 Problem details for every error"
STATUS=$(curl -sS -o "$WORK/body" -D "$WORK/head" -w '%{http_code}' "$BASE_URL/jobs")
problem "no key" 401 unauthorized
call GET /nowhere
problem "no such route" 404 not_found
call GET /jobs/never-submitted
problem "no such job" 404 job_not_found
call DELETE /jobs
problem "no such method" 405 method_not_allowed
look "h['allow']" || fail "405 names the methods"
post /bootstrap/users 'not json'
problem "not JSON" 400 not_json
call POST /bootstrap/users -H 'Content-Type: text/plain' -d '{"username":"alice"}'
problem "another content type" 415 unsupported_media_type
head -c 70000 /dev/zero | tr '\0' 'x' >"$WORK/large"
call POST /bootstrap/users -H 'Content-Type: application/json' --data-binary "@$WORK/large"
problem "a large body" 413 body_too_large
post /bootstrap/users '{"username":"a b","resources":{"ram_mb":1},"surprise":1}'
problem "a request that breaks rules" 422 validation_failed
look "{f['field'] for f in b['fields']} >= {'username', 'resources.ram_mb', 'surprise'}" || fail "422 lists the fields"
ok "its fields are listed"
call GET '/jobs?limit=many'
problem "a bad parameter" 400 bad_parameter
call GET /docs/errors
expect "a problem's type leads to its row" 200 "'id=\"validation_failed\"' in b"

title "2 Wait in one line"
post /bootstrap/users "{\"username\":\"${TAG}a\",\"operators\":{\"postgresql\":true}}" -H 'Prefer: wait=60' -H "X-Request-Id: tour-$TAG" \
  -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
expect "submit and wait" 200 "b['status'] == 'succeeded' and h['preference-applied'] == 'wait=60' and h['location'] == b['status_url']"
JOB=$(take "b['job_id']")
expect "the request id and the trace are on the job" 200 "b['request_id'] == 'tour-$TAG' == h['x-request-id'] and b['traceparent'].startswith('00-0af7651916cd43dd')"
post /bootstrap/users "{\"username\":\"${TAG}b\"}"
expect "submit without a wait" 202 "sorted(b) == ['job_id', 'status_url'] and h['location'] == b['status_url'] and int(h['retry-after']) > 0"
SECOND=$(take "b['job_id']")
call GET "/jobs/$SECOND?wait=60"
expect "wait on the job" 200 "b['status'] == 'succeeded'"
call GET "/jobs/$SECOND" -H "Prefer: wait=999"
expect "a wait is capped" 200 "h['preference-applied'] == 'wait=60'"
post /bootstrap/users "{\"username\":\"${TAG}b\"}" -H "Idempotency-Key: $TAG"
KEYED=$(take "b['job_id']")
post /bootstrap/users "{\"username\":\"${TAG}b\",\"take_ownership\":false}" -H "Idempotency-Key: $TAG"
expect "the same key and request are the same job" 202 "b['job_id'] == '$KEYED'"
post /bootstrap/users "{\"username\":\"${TAG}c\"}" -H "Idempotency-Key: $TAG"
problem "the same key for another request" 422 idempotency_conflict
call GET "/jobs/$KEYED?wait=60"
expect "the same request again changes nothing" 200 "{s['outcome'] for s in b['steps'][:2]} == {'unchanged'}"

title "3 ETag, If-None-Match, Retry-After"
for path in "/jobs/$JOB" "/jobs/$JOB/result"; do
  call GET "$path"
  expect "GET $path" 200 "h['etag']"
  call GET "$path" -H "If-None-Match: $(grep -i '^etag:' "$WORK/head" | cut -d' ' -f2- | tr -d '\r')"
  expect "and with its ETag" 304
done
call GET "/jobs/$JOB/result"
expect "the result" 200 "[s['name'] for s in b['steps']] == ['create_account', 'add_namespace', 'apply_resource_quota', 'apply_rbac_policy', 'verify_tenant'] and all(s['started_at'] and s['finished_at'] for s in b['steps']) and b['overall_status'] == 'succeeded' and b['credentials_secret']['read_with'] and b['inputs']['resources']['ram_mb'] >= 2048"

title "4 Live"
post /bootstrap/users "{\"username\":\"${TAG}d\",\"operators\":{\"mongodb\":true}}"
LIVE=$(take "b['job_id']")
curl -sSN --max-time 90 "$BASE_URL/jobs/$LIVE/events" -H "X-Admin-Key: $ADMIN_API_KEY" >"$WORK/events" || fail "the stream ends by itself"
grep -q '"status":"succeeded"' "$WORK/events" && (($(grep -c '^data:' "$WORK/events") > 3)) || fail "one event per transition, to the last"
ok "$(grep -c '^data:' "$WORK/events") events, the last one terminal, then the end"
mapfile -t IDS < <(grep '^id:' "$WORK/events" | tr -dc '0-9\n')
curl -sSN --max-time 30 "$BASE_URL/jobs/$LIVE/events" -H "X-Admin-Key: $ADMIN_API_KEY" -H "Last-Event-ID: ${IDS[0]}" >"$WORK/resumed"
[[ $(grep '^id:' "$WORK/resumed" | tr -dc '0-9') == "${IDS[-1]}" ]] || fail "Last-Event-ID resumes with what was missed"
ok "Last-Event-ID resumes with what was missed"
call GET "/jobs/$LIVE/events" -H "Last-Event-ID: ${IDS[-1]}"
expect "nothing more after the last event" 204

title "5 List and search"
call GET "/jobs?limit=2"
expect "last changed first, with a next page" 200 "len(b['jobs']) == 2 and b['jobs'][0]['changed_at'] >= b['jobs'][1]['changed_at'] and b['next_cursor'] and 'rel=\"next\"' in h['link']"
FIRST=$(take "b['jobs'][0]['job_id']")
call GET "/jobs?limit=2&cursor=$(take "b['next_cursor']")"
expect "the next page goes on" 200 "b['jobs'] and '$FIRST' not in [j['job_id'] for j in b['jobs']]"
for filter in "username=${TAG}a" "namespace=${TAG}a" "status=succeeded&username=${TAG}a" "kind=bootstrap&username=${TAG}a" "caller=admin&username=${TAG}a" "since=2020-01-01T00:00:00Z&username=${TAG}a"; do
  call GET "/jobs?$filter"
  expect "?$filter" 200 "[j['job_id'] for j in b['jobs']] == ['$JOB']"
done

title "6 Cancel"
post /bootstrap/users "{\"username\":\"${TAG}e\",\"operators\":{\"mongodb\":true,\"postgresql\":true}}"
WRONG=$(take "b['job_id']")
call POST "/jobs/$WRONG/cancel"
expect "a cancel says when" 202 "b['cancelled'] in ('at once', 'at the next safe point')"
call GET "/jobs/$WRONG?wait=60"
expect "it ended as cancelled" 200 "b['status'] == 'failed' and b['reason'] == 'cancelled' and b['losses'] == 0"
call POST "/jobs/$JOB/cancel"
problem "a finished job stays as it is" 409 job_finished

title "7 Retry"
call POST "/jobs/$WRONG/retry" -H 'Prefer: wait=60'
expect "the same job goes on, its history kept" 200 "b['job_id'] == '$WRONG' and b['status'] == 'succeeded' and b['history'][0]['reason'] == 'cancelled'"
post /bootstrap/users "{\"username\":\"${TAG}f\",\"namespace\":\"${TAG}a\"}" -H 'Prefer: wait=60'
expect "a namespace of another tenant is never touched" 200 "b['status'] == 'failed' and b['reason'] == 'namespace_owned_by_another' and b['error']['hint'] and [s['name'] for s in b['steps']] == ['add_namespace']"
FAILED=$(take "b['job_id']")
call GET "/jobs/$FAILED/result"
expect "a failed job has a result" 200 "b['overall_status'] == 'failed' and b['steps'][-1]['error']['code'] == 'namespace_owned_by_another'"
call POST "/jobs/$FAILED/retry?from=start" -H 'Prefer: wait=60'
expect "retried from the start" 200 "b['status'] == 'failed' and len(b['history']) == 1"
call POST "/jobs/$JOB/retry"
problem "what succeeded is not retried" 409 job_finished

title "8 Keys"
call GET "/jobs/$JOB"
expect "the caller is on the job" 200 "b['caller'] == 'admin'"
STATUS=$(curl -sS -o "$WORK/body" -D "$WORK/head" -w '%{http_code} %{time_total}' "$BASE_URL/jobs" -H 'X-Admin-Key: guessed')
[[ ${STATUS#* } > 0.2 ]] || fail "a wrong key is slowed"
STATUS=${STATUS% *}
problem "a wrong key, slowed" 401 unauthorized
call GET /metrics
expect "and counted" 200 "'everest_bootstrap_wrong_keys_total' in b and 'everest_bootstrap_wrong_keys_total 0.0' not in b"
if [[ -n ${ADMIN_API_KEYS_FILE:-} ]]; then
  # The gateway was started with this file: a key is added while it runs.
  (cd "$(dirname "$0")/.." && "$PYTHON" -m gateway new-key "$TAG") >"$WORK/key"
  sed -n 's/^Line.*: \([^ ]*:[^ ]*\)$/\1/p' "$WORK/key" >>"$ADMIN_API_KEYS_FILE"
  NAMED=$(sed -n 's/^Key, shown once: //p' "$WORK/key")
  for _ in $(seq 30); do
    STATUS=$(curl -sS -o "$WORK/body" -D "$WORK/head" -w '%{http_code}' -X POST "$BASE_URL/bootstrap/users" -H "X-Admin-Key: $NAMED" \
      -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d "{\"username\":\"${TAG}g\"}")
    [[ $STATUS == 401 ]] || break
    sleep 0.5
  done
  expect "a named key, without a restart" 200 "b['caller'] == '$TAG'"
  call GET "/jobs?caller=$TAG"
  expect "?caller= finds its jobs" 200 "[j['username'] for j in b['jobs']] == ['${TAG}g']"
else
  printf '  --  named keys: start make dev with ADMIN_API_KEYS_FILE, and give it here too\n'
fi

title "9 Documents"
call GET /openapi.json
expect "OpenAPI 3.1" 200 "b['openapi'].startswith('3.1') and '/jobs/{job_id}/retry' in b['paths']"
call GET /docs
expect "/docs, under a strict policy" 200 "'script-src \'self\'' in h['content-security-policy'] and 'http' not in b.replace('http-equiv', '')"
call GET /docs/assets/swagger-ui-bundle.js
expect "and its assets from here" 200

title "10 Metrics"
call GET /metrics
expect "/metrics" 200 "all(f'everest_bootstrap_{name}' in b for name in ('jobs{', 'oldest_queued_seconds', 'jobs_ended_total{', 'step_duration_seconds', 'retries_total', 'losses_total', 'dead_letters', 'nats_reconnections', 'stream_messages{'))"
call GET /healthz
expect "/healthz" 200
call GET /readyz
expect "/readyz" 200

title "11 Traces"
call GET "/jobs/$JOB"
expect "request id and trace context are in the record" 200 "b['request_id'] == 'tour-$TAG' and b['traceparent']"
if [[ -r ${DEMO_LOG:-.data/demo.log} ]]; then
  grep -q "job.claimed.*tour-$TAG.*00-0af7651916cd43dd8448eb211c80319c" "${DEMO_LOG:-.data/demo.log}" || fail "the handler's log names both"
  ok "the handler's log names both"
else
  printf '  --  the log: set DEMO_LOG to the file that make dev named\n'
fi

title "12 A page to look at"
call GET /
expect "the page, under a strict policy" 200 "'<title>Everest bootstrap' in b and 'unsafe' not in h['content-security-policy']"
call GET /pages/main.js
expect "its script" 200 "h['content-type'].startswith('text/javascript')"

title "13 Lists and details"
call GET /accounts/list
expect "/accounts/list" 200 "'${TAG}a' in [a['user'] for a in b['data']]"
call GET /namespaces/list
expect "/namespaces/list" 200 "'${TAG}a' in [n['namespace'] for n in b['data']]"
call GET "/tenants/${TAG}a"
expect "/tenants/{username}: as its job left it" 200 "b['data']['account'] and b['data']['namespace']['owner'] == '${TAG}a' and b['data']['quota']['hard'] and b['data']['limit_range'] and b['data']['rbac']['lines'] and b['data']['last_job']['job_id'] == '$JOB' and b['data']['differences'] == []"
call DELETE "/tenants/${TAG}a?confirm=somebody"
expect "an end that is confirmed by another name is refused" 422 "b['code'] == 'validation_failed'"
call DELETE "/tenants/${TAG}none"
expect "there is no such tenant to take away" 404 "b['code'] == 'tenant_not_found'"
post /bootstrap/users "{\"username\":\"${TAG}z\"}" -H 'Prefer: wait=60'
expect "a tenant that is to go" 200 "b['status'] == 'succeeded'"
call DELETE "/tenants/${TAG}z/namespaces/${TAG}z?dry_run=true"
expect "its end, planned" 200 "b['would'] == 'change' and [s['outcome'] for s in b['steps']] == ['unchanged'] + ['would remove'] * 4"
call DELETE "/tenants/${TAG}z/namespaces/${TAG}z?wait=60"
expect "DELETE /tenants/{username}/namespaces/{namespace}: gone" 200 "b['status'] == 'succeeded' and [s['outcome'] for s in b['steps']][1:] == ['removed'] * 4"
KUBECONFIG_FILE=${DEMO_KUBECONFIG:-.data/simulated.kubeconfig}
KUBECTL=${KUBECTL:-$(command -v kubectl || echo .venv/bin/kubectl)}
if [[ -r $KUBECONFIG_FILE && -x $KUBECTL ]]; then
  "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" delete resourcequota user-quota -n "${TAG}a" >/dev/null
  call GET "/tenants/${TAG}a"
  expect "what was changed by hand is named, with what mends it" 200 "[(d['what'], d['mend']) for d in b['data']['differences']] == [('quota', 'Repair the tenant, or submit the same request again.')]"
  post /bootstrap/users "{\"username\":\"${TAG}a\",\"operators\":{\"postgresql\":true}}" -H 'Prefer: wait=60'
  expect "the same request again mends it" 200 "b['status'] == 'succeeded'"
  call GET "/tenants/${TAG}a"
  expect "and nothing differs" 200 "b['data']['differences'] == []"
else
  printf '  --  a change by hand: set DEMO_KUBECONFIG and KUBECTL\n'
fi

title "14 A tenant's life"
HOME_OF="/tenants/${TAG}h/namespaces/${TAG}h"
post "/bootstrap/users?dry_run=true" "{\"username\":\"${TAG}h\"}"
expect "plan: what a submit would do" 200 "b['would'] == 'change' and [s['outcome'] for s in b['steps']][:3] == ['would create'] * 3 and b['steps'][2]['manifest_preview'] and b['steps'][3]['diff']"
call GET "$HOME_OF"
problem "and it has made nothing" 404 tenant_not_found
call PUT "$HOME_OF" -H 'Content-Type: application/json' -H 'If-None-Match: *' -H 'Prefer: wait=60' -d '{"role":"viewer"}'
expect "create: declared" 200 "b['status'] == 'succeeded' and b['username'] == '${TAG}h'"
call GET "$HOME_OF"
expect "as it is wanted and as it is" 200 "h['etag'] == '\"1\"' and b['data']['generation'] == 1 and b['data']['desired']['role'] == 'viewer' and b['data']['observed']['quota'] and b['data']['differences'] == []"
call PUT "$HOME_OF?dry_run=true" -H 'Content-Type: application/json' -d '{"role":"viewer"}'
expect "plan: the same again would change nothing" 200 "b['would'] == 'nothing'"
call PUT "$HOME_OF" -H 'Content-Type: application/json' -H 'If-Match: "1"' -H 'Prefer: wait=60' -d '{"role":"owner"}'
expect "change: declared anew" 200 "b['status'] == 'succeeded'"
call PUT "$HOME_OF" -H 'Content-Type: application/json' -H 'If-Match: "1"' -d '{"role":"developer"}'
problem "and not over somebody else's change" 412 generation_conflict
call GET "/tenants?username=${TAG}h"
expect "list" 200 "[(t['username'], [(n['name'], n['generation'], n['role']) for n in t['namespaces']]) for t in b['tenants']] == [('${TAG}h', [('${TAG}h', 2, 'owner')])] and b['next_cursor'] is None"
if [[ -r $KUBECONFIG_FILE && -x $KUBECTL ]]; then
  "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" delete limitrange user-limits -n "${TAG}h" >/dev/null
  call GET "/tenants?differs=true&username=${TAG}h"
  expect "differences: what somebody took away" 200 "[d['what'] for d in b['tenants'][0]['differences']] == ['limit_range']"
  call POST "$HOME_OF/repair?dry_run=true"
  expect "plan: what a repair would do" 200 "b['would'] == 'change' and [s['outcome'] for s in b['steps']] == ['unchanged', 'unchanged', 'would update', 'unchanged', 'would verify']"
  call POST "$HOME_OF/repair" -H 'Prefer: wait=60'
  expect "repair" 200 "b['status'] == 'succeeded' and b['kind'] == 'repair'"
  call GET "/tenants?differs=true&username=${TAG}h"
  expect "and nothing differs" 200 "b['tenants'] == []"
fi
call POST /tenants/repair
expect "repair all that differ: one job a tenant" 202 "'jobs' in b and b['next_cursor'] is None"

call POST "/tenants/${TAG}h/suspend?dry_run=true"
expect "plan: what a suspension would do" 200 "b['would'] == 'change' and '#everest-bootstrap p, role:${TAG}h' in b['steps'][0]['diff']"
call POST "/tenants/${TAG}h/suspend?pause_databases=true" -H 'Prefer: wait=60'
expect "suspend" 200 "b['status'] == 'succeeded' and b['kind'] == 'suspend' and b['steps'][0]['outcome'] == 'updated'"
call GET "/tenants/${TAG}h"
expect "as it is wanted now" 200 "b['data']['suspended'] and not b['data']['account']['enabled'] and b['data']['rbac']['lines'] == [] and [d for d in b['data']['differences'] if d['what'] in ('account', 'rbac', 'suspension')] == []"
call PUT "$HOME_OF" -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '{"role":"viewer"}'
expect "and nothing is made for it" 200 "b['status'] == 'failed' and b['reason'] == 'tenant_suspended'"
call POST "/tenants/${TAG}h/password" -H 'Prefer: wait=60'
expect "password: a new one, in a Secret of its own" 200 "b['status'] == 'succeeded'"
call GET "/jobs/$(take "b['job_id']")/result"
expect "and the result says how to read it" 200 "b['credentials_secret']['read_with']"
call POST "/tenants/${TAG}h/resume" -H 'Prefer: wait=60'
expect "resume" 200 "b['status'] == 'succeeded'"
call GET "/tenants/${TAG}h"
expect "as it was" 200 "not b['data']['suspended'] and b['data']['account']['enabled'] and b['data']['rbac']['lines']"
post "/tenants/${TAG}h/manager?wait=60" '{"caller":"billing"}'
expect "handover: another caller manages it" 200 "b['status'] == 'succeeded'"
call POST "/tenants/${TAG}nobody/suspend"
problem "nobody is suspended who is not there" 404 tenant_not_found

title "15 Some tenants at once"
"$PYTHON" - "$TAG" >"$WORK/bulk" <<'PYTHON'
import json, sys
print(json.dumps({"requests": [{"username": f"{sys.argv[1]}bulk{n}"} for n in range(3)]}))
PYTHON
call POST "/bootstrap/users/bulk?dry_run=true" -H 'Content-Type: application/x-ndjson' -d "{\"username\": \"${TAG}bulk0\"}"
expect "a plan a line" 200 "b['index'] == 0 and b['plan']['would'] == 'change'"
post /bootstrap/users/bulk "$(cat "$WORK/bulk")" -H "Idempotency-Key: ${TAG}-bulk"
expect "all accepted" 202 "len(b['jobs']) == 3"
BATCH=$(take "b['batch_id']")
post /bootstrap/users/bulk "$(cat "$WORK/bulk")" -H "Idempotency-Key: ${TAG}-bulk"
expect "the same key is the same batch" 202 "b['batch_id'] == '$BATCH'"
for _ in $(seq 10); do
  call GET "/batches/$BATCH?wait=60"
  look "b['counts']['queued'] + b['counts']['running'] == 0" && break
done
expect "all done" 200 "b['counts'] == {'queued': 0, 'running': 0, 'succeeded': 3, 'failed': 0} and b['failures'] == []"

title "16 Thirty tenants from a file"
{
  echo "requests:"
  for number in $(seq 30); do echo "  - {username: ${TAG}file$number}"; done
} >"$WORK/tenants.yaml"
# apply WHAT EXIT-CODE LINES PATTERN [arguments]: so many lines of what the client says match the pattern.
apply() {
  local what=$1 code=$2 lines=$3 pattern=$4
  shift 4
  STATUS=0
  BASE_URL=$BASE_URL ADMIN_API_KEY=$ADMIN_API_KEY COLUMNS=200 "$CLIENT" apply -f "$WORK/tenants.yaml" "$@" >"$WORK/body" 2>&1 || STATUS=$?
  [[ $STATUS == "$code" && $(grep -c "$pattern" "$WORK/body") == "$lines" ]] || fail "$what: exit $code and $lines lines of $pattern"
  ok "$what"
}
apply "what it would do, a line each" 0 30 "${TAG}file[0-9]* .*change" --plan
apply "done: a line each" 0 30 "succeeded .*${TAG}file[0-9]* "
call GET "/tenants/${TAG}file30"
expect "the last of them is there" 200 "b['data']['differences'] == []"
echo "  - {username: ${TAG}file31, namespace: default}" >>"$WORK/tenants.yaml"
apply "one that cannot be: nothing is accepted" 3 0 succeeded -o json
call GET "/tenants/${TAG}file31"
problem "and not a part of it" 404 tenant_not_found

printf '\n%s answers were as promised.\n' "$PASSED"
