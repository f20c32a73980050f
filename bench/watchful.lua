-- For wrk with one connection a thread (-t N -c N): look at every answer, and keep the time that it took by its status.
-- wrk ... -s watchful.lua URL -- OUT EXPECTED BOUNDARY BODY_FILE...
-- Writes to OUT a line an answer, "thread status milliseconds flag", where the flag is "wrong" for a 200 that does not
-- contain EXPECTED and for a 503 without Retry-After, and else "right"; and a line for each request that got none:
-- "thread lost milliseconds -", or "thread pending milliseconds -" at the end.

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

local expected, requests, turn, rehearsal
out, log, sent = "", {}, 0 -- globals: done() reads them from every thread

function init(args)
  out, expected, requests, turn = args[1], args[2], {}, number
  rehearsal = number == 1 -- wrk asks the first thread for a request that it does not send, to learn its form
  for i = 4, #args do
    local file = assert(io.open(args[i], "rb"))
    local headers = { ["Content-Type"] = "multipart/form-data; boundary=" .. args[3] }
    table.insert(requests, wrk.format("POST", nil, headers, file:read("*a")))
    file:close()
  end
end

function request()
  if rehearsal then
    rehearsal = false
    return requests[1]
  end
  local at = now()
  if sent > 0 then table.insert(log, string.format("lost %.3f -", at - sent)) end
  sent, turn = at, turn + 1
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
  local file, at = assert(io.open(threads[1]:get("out"), "w")), now()
  for i, thread in ipairs(threads) do
    for _, line in ipairs(thread:get("log")) do file:write(i, " ", line, "\n") end
    local since = thread:get("sent")
    if since > 0 then file:write(string.format("%d pending %.3f -\n", i, at - since)) end
  end
  file:close()
end
