-- Requests as openai-python sends them: its usual headers and an X-Request-Id that no other request has.
wrk.method = "POST"
local body = '{"messages":[{"role":"user","content":"Say hello to the benchmark."}],"model":"bench","max_tokens":16}'
local thread_id = 0
local count = 0
local before, after

function setup(thread)
  thread_id = thread_id + 1
  thread:set("id", thread_id)
end

function init(args)
  before = table.concat({
    "POST /v1/chat/completions HTTP/1.1",
    "Host: " .. wrk.headers["Host"],
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Connection: keep-alive",
    "Accept: application/json",
    "Content-Type: application/json",
    "User-Agent: OpenAI/Python 3.54.0",
    "X-Stainless-Lang: python",
    "X-Stainless-Package-Version: 3.54.0",
    "X-Stainless-OS: Linux",
    "X-Stainless-Arch: x64",
    "X-Stainless-Runtime: CPython",
    "X-Stainless-Runtime-Version: 3.11.7",
    "Authorization: Bearer sk-bench-0123456789abcdef0123456789abcdef",
    "X-Stainless-Async: false",
    "x-stainless-retry-count: 0",
    "x-stainless-read-timeout: 600",
    "X-Request-Id: req_",
  }, "\r\n")
  after = "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function request()
  count = count + 1
  return before .. id .. "_" .. string.format("%016x", count * 2654435761 % 2^52) .. after
end
