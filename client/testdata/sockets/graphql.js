// A GraphQL subscription of numbered ticks over the subprotocol graphql-transport-ws,
// served by the library graphql-ws.
//
// The name in the URL says whose connections are counted together, and whose token is
// asked for: GET /token?name= returns the one that is valid at the moment.
'use strict'

const http = require('node:http')
const { buildSchema } = require('graphql')
const { useServer } = require('graphql-ws/use/ws')
const { WebSocketServer } = require('ws')

const say = (...words) => process.stdout.write(words.join(' ') + '\n')
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const feeds = new Map()

function feedOf (req) {
  const name = new URL(req.url, 'http://feed').searchParams.get('name')
  if (!feeds.has(name)) feeds.set(name, { name, tokens: 1, interruptions: 0 })
  return feeds.get(name)
}

const tokenOf = (feed) => feed.name + '-' + feed.tokens

// How connections end after each 25 ticks, one after the other.
const ends = [
  (feed, ws) => ws.terminate(),
  (feed, ws) => { feed.tokens++; ws.close(4401, 'Token expired') },
  (feed, ws) => ws.close(4500, 'Internal server error'),
  (feed, ws) => { feed.tokens++; ws.close(4403, 'Forbidden') },
  (feed, ws) => ws.close(1001, 'Terminated'),
  (feed, ws) => ws.close(4408, 'Connection initialisation timeout')
]

async function * ticks ({ since, until, every }, { extra }) {
  const feed = feedOf(extra.request)
  for (let seq = since + 1; seq <= until; seq++) {
    yield { ticks: { seq } }
    if (seq % 25 === 0 && seq < until) return ends[feed.interruptions++ % ends.length](feed, extra.socket)
    await pause(every)
  }
}

const server = http.createServer((req, res) => res.end(tokenOf(feedOf(req))))
const wss = new WebSocketServer({ server })

// Pings of the subprotocol, which the library leaves to its user.
wss.on('connection', (ws, req) => {
  const { name } = feedOf(req)
  let open = 0
  say('opened', name)
  const timer = setInterval(() => {
    if (++open > 40) return ws.terminate()
    ws.send('{"type":"ping","payload":{"from":"server"}}')
  }, 50)
  ws.on('message', (data) => {
    const [, type] = /^{"type":"(ping|pong)"/.exec(data) || []
    if (type === 'pong') open = 0
    if (type) say(type, name)
  })
  ws.on('close', (code) => {
    clearInterval(timer)
    say('closed', name, code)
  })
})

useServer({
  schema: buildSchema(`
    type Tick { seq: Int! }
    type Query { now: Int }
    type Subscription { ticks(since: Int!, until: Int!, every: Int = 5): Tick! }
  `),
  roots: { subscription: { ticks } },
  context: (ctx) => ctx,
  connectionInitWaitTimeout: 1000,
  onConnect: ({ connectionParams, extra }) => connectionParams?.token === tokenOf(feedOf(extra.request)),
  onSubscribe: ({ extra }, id, payload) => { say('since', feedOf(extra.request).name, payload.variables?.since) }
}, wss)

server.listen(0, '127.0.0.1', () => say('listening on 127.0.0.1:' + server.address().port))
