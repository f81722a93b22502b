-- One line of JSON at the end of a run of wrk; BENCH_POST = bytes of a body to post.
local size = tonumber(os.getenv("BENCH_POST") or "0")
if size > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("x", size)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests": %d, "us": %d, "p50": %.3f, "p99": %.3f, "longest": %.3f, "lost": %d, "refused": %d, "late": %d}\n',
    summary.requests, summary.duration, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    latency.max / 1000, errors.connect + errors.read + errors.write, errors.status, errors.timeout))
end
