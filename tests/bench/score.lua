-- Sends the requests of a file, each with an event id of its own. Everything but that id and the key is made ready
-- beforehand. Of several keys each waits for its answer before it is sent again, and what that says is the Next-Token is
-- sent in its place. An answer that is none takes its token with it, so there are more tokens than connections.
local middles, tails, keys, count, sent, checked = {}, {}, {}, 0, 0, false
local head = "POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
local first

local function answered(status, headers)
  if status == 200 then keys[#keys + 1] = headers["next-token"] or first end
end

function init(args)
  local file, run = args[1], args[2]
  for key in os.getenv("BENCH_KEYS"):gmatch("%S+") do keys[#keys + 1] = key end
  first = keys[1]
  if #keys > 1 then response = answered end
  for line in io.lines(file) do
    local start = '{"event_id":"' .. run .. '-'
    local tail = '",' .. line:sub(2)
    count = count + 1
    middles[count] = "\r\nContent-Type: application/json\r\nContent-Length: " .. (#start + 8 + #tail)
      .. "\r\n\r\n" .. start
    tails[count] = tail
  end
end

function request()
  local key = first
  -- wrk asks for one request that it only looks at.
  if response and checked then key = table.remove(keys) or first end
  checked = true
  sent = sent + 1
  local at = (sent - 1) % count + 1
  return head .. key .. middles[at] .. string.format("%08x", sent) .. tails[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "other_status": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
