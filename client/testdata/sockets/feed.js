// A feed of numbered messages over WebSockets, served by the library ws.
//
// The URL says which: ?scene= what is to happen, ?since= the number after which to
// begin, ?name= whose connections are counted together, ?deflate, ?tight and ?deaf
// which server.
'use strict'

const crypto = require('node:crypto')
const http = require('node:http')
const { WebSocketServer } = require('ws')

const plain = new WebSocketServer({ noServer: true })
const deflate = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 } })
const tight = new WebSocketServer({
  noServer: true,
  perMessageDeflate: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 9 }
})
const deaf = new WebSocketServer({ noServer: true, autoPong: false }) // to the client's pings

const visits = new Map()

const say = (...words) => process.stdout.write(words.join(' ') + '\n')
const text = (seq) => JSON.stringify({ seq })

// A large message, with characters of one to four bytes and the hash of its filling.
function large (seq, size) {
  const pad = crypto.randomBytes(size / 4).toString('base64') + 'é€😀'.repeat(size / 27)
  return JSON.stringify({ seq, sha256: crypto.createHash('sha256').update(pad).digest('hex'), pad })
}

// fragmented sends a message in pieces that do not care for characters, with a ping
// between any two.
function fragmented (ws, message, pieces) {
  const bytes = Buffer.from(message)
  const size = Math.ceil(bytes.length / pieces)
  for (let at = 0; at < bytes.length; at += size) {
    const fin = at + size >= bytes.length
    ws.send(bytes.subarray(at, at + size), { binary: false, fin })
    if (!fin) ws.ping(String(at))
  }
}

// How the connections of scene "ends" end, one after the other.
const ends = [
  (ws, seq) => ws.terminate(),
  (ws, seq) => ws.close(1000),
  (ws, seq) => ws.send('{"seq":' + seq + ',"pad":"', { fin: false }, () => ws.terminate()),
  (ws, seq) => ws.close(1001, 'going away'),
  (ws, seq) => { ws.send(large(seq, 14 << 20), { compress: false }); ws.terminate() },
  (ws, seq) => ws.close(1012, 'service restart'),
  (ws, seq) => ws.close(4000, 'private'),
  (ws, seq) => ws.close(),
  (ws, seq) => ws.close(4999, 'x'.repeat(123)),
  (ws, seq) => ws.close(1011, 'unexpected condition')
]

const scenes = {
  // Ten messages, then an end.
  ends (ws, next, visit) {
    for (let i = 0; i < 9; i++) ws.send(text(next++))
    ws.send(text(next++), () => ends[(visit - 1) % ends.length](ws, next))
  },

  // Messages of all sizes and shapes, from 1 to 8.
  sizes (ws, next) {
    const shapes = [
      () => ws.send(text(1)),
      () => ws.send(large(2, 5 << 20)),
      () => ws.send(Buffer.from(text(3))),
      () => fragmented(ws, large(4, 1 << 20), 64),
      () => fragmented(ws, large(5, 300), 80),
      () => ws.send(large(6, 125)),
      () => ws.send(large(7, 65600)),
      () => ws.send(text(8))
    ]
    for (const send of shapes.slice(next - 1)) send()
  },

  // A message each 5 ms.
  steady (ws, next) {
    repeat(ws, 5, () => ws.send(text(next++)))
  },

  // Messages as fast as they go; who does not answer a ping within 200 ms is cut off.
  strict (ws, next) {
    let alive = true
    ws.on('pong', () => { alive = true })
    repeat(ws, 200, () => {
      if (!alive) {
        say('cut off')
        return ws.terminate()
      }
      alive = false
      ws.ping()
    })
    pump(ws, next)
  },

  // A message, forty pings, and another message once all pongs are there.
  pings (ws, next) {
    const open = new Set()
    let sent = 0
    ws.on('pong', (data) => {
      if (!open.delete(String(data))) say('stray pong', data)
      if (sent === 40 && open.size === 0) {
        say('all pongs')
        ws.send(text(next++))
      }
    })
    ws.send(text(next++))
    repeat(ws, 20, () => {
      if (sent === 40) return
      open.add('ping ' + ++sent)
      ws.ping('ping ' + sent)
    })
  },

  // Each message that comes is answered with what it was.
  echo (ws, next) {
    ws.on('message', (data, binary) => {
      const sha256 = crypto.createHash('sha256').update(data).digest('hex')
      ws.send(JSON.stringify({ seq: next++, of: sha256, binary }))
    })
  },

  // A message, and a large one.
  large (ws, next) {
    ws.send(text(next++))
    ws.send(large(next++, 3 << 20))
  },

  // A message, and one that is not UTF-8 on the first connection.
  latin1 (ws, next, visit) {
    ws.send(text(next++))
    if (visit === 1) ws.send(Buffer.from('{"seq":2,"pad":"é"}', 'latin1'), { binary: false })
  },

  // A message, and then nothing until the client has sent five pings.
  quiet (ws, next) {
    let pings = 0
    ws.send(text(next++))
    ws.on('ping', () => { if (++pings === 5) ws.send(text(next++)) })
  }
}

function repeat (ws, every, f) {
  const timer = setInterval(f, every)
  ws.on('close', () => clearInterval(timer))
}

// pump sends without end, as fast as the peer takes it.
function pump (ws, next) {
  const filling = 'x'.repeat(1000)
  const more = () => {
    if (ws.readyState !== ws.OPEN) return
    ws.send(JSON.stringify({ seq: next++, filling }), (err) => { if (!err) setImmediate(more) })
  }
  more()
}

function serve (ws, url) {
  const name = url.searchParams.get('name')
  const scene = url.searchParams.get('scene')
  const visit = (visits.get(name) || 0) + 1
  visits.set(name, visit)
  say('opened', name, visit, 'since', url.searchParams.get('since'), ws.extensions)
  ws.on('ping', (data) => say('ping', name, visit))
  ws.on('error', (err) => say('error', name, visit, err.code))
  ws.on('close', (code) => say('closed', name, visit, code))
  scenes[scene](ws, Number(url.searchParams.get('since') || 0) + 1, visit)
}

const server = http.createServer((req, res) => res.writeHead(404).end())
server.on('upgrade', (req, socket, head) => {
  const url = new URL(req.url, 'http://feed')
  const has = (name) => url.searchParams.has(name)
  const wss = has('deflate') ? deflate : has('tight') ? tight : has('deaf') ? deaf : plain
  wss.handleUpgrade(req, socket, head, (ws) => serve(ws, url))
})
server.listen(0, '127.0.0.1', () => say('listening on 127.0.0.1:' + server.address().port))
