-- One line of JSON at the end of a run of wrk; BENCH_POST = bytes of a body to post,
-- BENCH_VARY = how many different requests are sent in turn.
local size = tonumber(os.getenv("BENCH_POST") or "0")
if size > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("x", size)
end

local vary = tonumber(os.getenv("BENCH_VARY") or "0")
if vary > 0 then
  local requests, turn = {}, 0

  function init(args)
    for i = 1, vary do
      wrk.headers["X-Request-Id"] = string.format("%08x", i * 2654435761 % 4294967296)
      requests[i] = wrk.format(nil, wrk.path .. "?page=" .. i)
    end
  end

  function request()
    turn = turn % vary + 1
    return requests[turn]
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests": %d, "us": %d, "p50": %.3f, "p99": %.3f, "longest": %.3f, "lost": %d, "refused": %d, "late": %d}\n',
    summary.requests, summary.duration, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    latency.max / 1000, errors.connect + errors.read + errors.write, errors.status, errors.timeout))
end
