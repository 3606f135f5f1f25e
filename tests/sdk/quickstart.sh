#!/usr/bin/env bash
# The peer's quickstart with curl: an event is taken with 204, and the query's text shows it.
set -euo pipefail
url=$1

status=$(curl -s -o /dev/null -w '%{http_code}' -X POST "$url/api/v1/events" -H 'Content-Type: application/cloudevents+json' -d '{
  "specversion": "1.0", "type": "request", "id": "00001", "source": "quickstart", "subject": "quickstart-curl",
  "data": {"method": "GET", "route": "/hello", "duration_ms": 10}}')
[ "$status" = 204 ] || { echo "quickstart: ingest answered $status" >&2; exit 1; }

# look TEXT QUERY: the answer holds the text.
look() {
  local answer
  answer=$(curl -fsS -G "$url/api/v1/meters/api_requests_total/query" "${@:2}")
  [[ $answer == *"$1"* ]] || { echo "quickstart: no $1 in $answer" >&2; exit 1; }
}
look '"value":1' -d subject=quickstart-curl
look '"subject":"quickstart-curl"' -d subject=quickstart-curl
look '"groupBy":{"method":"GET","route":"/hello"}' \
  -d subject=quickstart-curl -d windowSize=HOUR -d groupBy=method -d groupBy=route
echo "quickstart: 204, then value 1"
