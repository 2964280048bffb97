-- Sends the requests of a file, each with an event id of its own. Everything but that id is made ready beforehand.
local heads, tails, count, sent = {}, {}, 0, 0

function init(args)
  local file, run = args[1], args[2]
  for line in io.lines(file) do
    local head = '{"event_id":"' .. run .. '-'
    local tail = '",' .. line:sub(2)
    count = count + 1
    heads[count] = "POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " .. os.getenv("BENCH_KEY")
      .. "\r\nContent-Type: application/json\r\nContent-Length: " .. (#head + 8 + #tail) .. "\r\n\r\n" .. head
    tails[count] = tail
  end
end

function request()
  sent = sent + 1
  local at = (sent - 1) % count + 1
  return heads[at] .. string.format("%08x", sent) .. tails[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "other_status": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
