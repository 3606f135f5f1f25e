#!/usr/bin/env bash
# Waits until weir takes events, then prints what to try.
set -euo pipefail
url="http://${1:-127.0.0.1:8888}"
for _ in $(seq 1 100); do
  if curl -fs -o /dev/null "$url/health/ready"; then break; fi
  sleep 0.1
done
cat <<TXT

weir is ready at $url. Try, in another terminal:

  # one event: 204 means it is on disk
  curl -i -X POST $url/api/v1/events -H 'Content-Type: application/cloudevents+json' -d '{
    "specversion": "1.0", "id": "1", "source": "try", "type": "request", "subject": "acme",
    "data": {"method": "GET", "route": "/hello", "tokens": "12.5"}}'

  # the next query has it
  curl -s '$url/api/v1/meters/api_requests_total/query?subject=acme'
  curl -s '$url/api/v1/meters/tokens_total/query?windowSize=HOUR&groupBy=route'

  # what runs inside
  curl -s $url/api/v1/debug/actors
  curl -s $url/metrics

Stop weir with Ctrl-C: it finishes what it has taken, then ends.

TXT
