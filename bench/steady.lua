-- For wrk: send one body repeatedly, and print the totals as JSON. The script does not inspect the answers, because
-- that would take CPU time from the server; wrk itself counts the answers that are not 2xx.
-- wrk ... -s steady.lua URL -- BODY_FILE BOUNDARY

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  wrk.headers["Content-Type"] = "multipart/form-data; boundary=" .. args[2]
  file:close()
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    'JSON {"answers": %d, "seconds": %f, "p50": %f, "p99": %f, "not_ok": %d, "lost": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    failed.status, failed.connect + failed.read + failed.write + failed.timeout))
end
