// An MCP server over streamable HTTP, of the official SDK. Its tool "count" logs n messages. The
// server closes the response after the message number closeAt, and cuts it after cutAt.
import { randomUUID } from 'node:crypto'
import http from 'node:http'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js'
import { z } from 'zod'

const say = (...words) => process.stdout.write(words.join(' ') + '\n')
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const sessions = new Map()

function newServer (session) {
  const server = new McpServer({ name: 'count', version: '1.0.0' }, { capabilities: { logging: {} } })
  const inputSchema = { n: z.number(), closeAt: z.array(z.number()), cutAt: z.array(z.number()) }
  server.registerTool('count', { inputSchema }, async ({ n, closeAt, cutAt }, extra) => {
    say('call')
    for (let i = 1; i <= n; i++) {
      await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data: i } })
      await sleep(20)
      if (!closeAt.includes(i) && !cutAt.includes(i)) continue
      while (!session.response.socket) await sleep(5) // until the client has returned
      if (closeAt.includes(i)) extra.closeSSEStream()
      if (cutAt.includes(i)) session.response.socket.destroy()
    }
    return { content: [{ type: 'text', text: `counted to ${n}` }] }
  })
  return server
}

async function handle (req, res) {
  const id = req.headers['mcp-session-id']
  say(req.method, req.headers['last-event-id'] ?? '-', Date.now())
  let session = sessions.get(id)
  if (id && !session) {
    res.writeHead(404).end()
    return
  }
  if (!session) {
    const created = { response: res }
    created.transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new InMemoryEventStore(),
      retryInterval: 500,
      onsessioninitialized: (name) => sessions.set(name, created),
      onsessionclosed: (name) => sessions.delete(name)
    })
    await newServer(created).connect(created.transport)
    session = created
  }
  session.response = res
  await session.transport.handleRequest(req, res)
}

const server = http.createServer((req, res) => {
  handle(req, res).catch((err) => {
    say('error', err)
    res.destroy()
  })
})
server.listen(0, '127.0.0.1', () => say('listening on', `127.0.0.1:${server.address().port}`))
