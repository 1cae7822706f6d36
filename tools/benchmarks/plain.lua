-- The smallest request that a chat client can send: four headers and a body of 110 bytes.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"bench","messages":[{"role":"user","content":"Say hello to the bench in one line"}],"max_tokens":100}'
