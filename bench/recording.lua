-- For wrk with one connection per thread (-t N -c N): check every answer, and record its time by status.
-- wrk ... -s recording.lua URL -- OUT EXPECTED BOUNDARY BODY_FILE...
-- Writes one line per answer to OUT: "thread status milliseconds flag". The flag is "wrong" for a 200 that does not
-- contain EXPECTED and for a 503 without Retry-After, otherwise "right". A request without an answer gets the line
-- "thread lost milliseconds -", or "thread pending milliseconds -" if it was not answered when the load ended.

local ffi = require("ffi")
ffi.cdef [[ typedef struct { long s; long ns; } quintet_time; int clock_gettime(int clock, quintet_time *now); ]]
local clock = ffi.new("quintet_time")

local function now() -- milliseconds, monotonic
  ffi.C.clock_gettime(1, clock)
  return tonumber(clock.s) * 1e3 + tonumber(clock.ns) / 1e6
end

local threads = {}
function setup(thread)
  table.insert(threads, thread)
  thread:set("number", #threads)
end

local expected, requests, turn, probe
out, log, sent = "", {}, 0 -- globals: done() reads them from every thread

function init(args)
  out, expected, requests, turn = args[1], args[2], {}, number
  probe = number == 1 -- wrk calls request() of the first thread once without sending the result
  for i = 4, #args do
    local file = assert(io.open(args[i], "rb"))
    local headers = { ["Content-Type"] = "multipart/form-data; boundary=" .. args[3] }
    table.insert(requests, wrk.format("POST", nil, headers, file:read("*a")))
    file:close()
  end
end

function request()
  if probe then
    probe = false
    return requests[1]
  end
  local start = now()
  if sent > 0 then table.insert(log, string.format("lost %.3f -", start - sent)) end
  sent, turn = start, turn + 1
  return requests[turn % #requests + 1]
end

function response(status, headers, body)
  local right = true
  if status == 200 then right = body:find(expected, 1, true) ~= nil end
  if status == 503 then right = headers["Retry-After"] ~= nil end
  table.insert(log, string.format("%d %.3f %s", status, now() - sent, right and "right" or "wrong"))
  sent = 0
end

function done()
  local file, finish = assert(io.open(threads[1]:get("out"), "w")), now()
  for i, thread in ipairs(threads) do
    for _, line in ipairs(thread:get("log")) do file:write(i, " ", line, "\n") end
    local since = thread:get("sent")
    if since > 0 then file:write(string.format("%d pending %.3f -\n", i, finish - since)) end
  end
  file:close()
end
