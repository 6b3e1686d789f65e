// The outside of the example: a directory of repository owners and a chat, on one port.
// It checks what arrives and answers 401 or 422 with the reason, so a wrong call fails the flow.
//
//   node receiver.mjs            listens on 127.0.0.1:4010
//   node receiver.mjs 0          picks a free port and prints it
import {createServer} from 'node:http';

const CHAT_TOKEN = process.env.CHAT_TOKEN ?? 'chat-token-of-the-example';
const TEAMS = {Codertocat: ['core', '#core'], 'octo-org': ['octo', '#octo']};
const BODY_BYTES_MAX = 64 * 1024;

export function createReceiver() {
  const messages = new Map();
  const server = createServer(async (request, response) => {
    const answer = (status, body) => {
      response.writeHead(status, {'content-type': 'application/json'});
      response.end(JSON.stringify(body));
    };
    try {
      const url = new URL(request.url, 'http://receiver');
      if (request.method === 'GET' && url.pathname.startsWith('/owners/')) {
        return owners(decodeURIComponent(url.pathname.slice('/owners/'.length)), answer);
      }
      if (request.method === 'POST' && url.pathname === '/chat') {
        return chat(request, JSON.parse(await read(request)), messages, answer);
      }
      if (request.method === 'GET' && url.pathname === '/chat') {
        return answer(200, [...messages.values()]);
      }
      answer(404, {error: `nothing at ${request.method} ${url.pathname}`});
    } catch (error) {
      answer(400, {error: error.message});
    }
  });
  return {server, messages};
}

function owners(repository, answer) {
  const [organization] = repository.split('/');
  const found = TEAMS[organization];
  if (!found) return answer(404, {error: `nobody owns ${repository}`});
  answer(200, {repository, team: found[0], channel: found[1]});
}

function chat(request, message, messages, answer) {
  if (request.headers.authorization !== `Bearer ${CHAT_TOKEN}`) {
    return answer(401, {error: 'the token is wrong'});
  }
  const key = request.headers['idempotency-key'];
  if (!key) return answer(422, {error: 'the Idempotency-Key header is missing'});
  if (!/^#[a-z]+$/.test(message.channel)) return answer(422, {error: `no channel ${message.channel}`});
  if (typeof message.text !== 'string' || /null|\{\{|undefined/.test(message.text)) {
    return answer(422, {error: `this is not a message: ${message.text}`});
  }
  const known = messages.get(key);
  const stored = known ?? {id: `msg-${messages.size + 1}`, key, deliveries: 0, ...message};
  stored.deliveries += 1;
  messages.set(key, stored);
  console.log(`${stored.id} ${message.channel}: ${message.text}`);
  answer(201, {id: stored.id});
}

async function read(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > BODY_BYTES_MAX) throw new Error(`the body has more than ${BODY_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

if (process.argv[1] === import.meta.filename) {
  const {server} = createReceiver();
  server.listen(Number(process.argv[2] ?? 4010), '127.0.0.1', () => {
    console.log(`team directory and chat on http://127.0.0.1:${server.address().port}`);
  });
}
