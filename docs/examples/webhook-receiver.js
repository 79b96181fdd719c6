// A receiver of Cadran's webhooks, without packages: checks the signature, drops repetitions, answers fast.
// Run: CADRAN_WEBHOOK_SECRET=whsec_... node webhook-receiver.js 8080
const crypto = require('node:crypto');
const http = require('node:http');

const secret = Buffer.from(process.env.CADRAN_WEBHOOK_SECRET.replace(/^whsec_/, ''), 'base64');
const TOLERANCE_S = 300;
const seen = new Set();

function verified(headers, body) {
  const id = headers['webhook-id'] ?? '';
  const timestamp = headers['webhook-timestamp'] ?? '';
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) return false;
  const expected = crypto.createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest();
  // During a rotation there are two signatures; one of them is enough.
  return (headers['webhook-signature'] ?? '').split(' ').some((each) => {
    const given = Buffer.from(each.replace(/^v1,/, ''), 'base64');
    return each.startsWith('v1,') && given.length === expected.length && crypto.timingSafeEqual(given, expected);
  });
}

http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const body = Buffer.concat(parts); // as it came: parsed and printed again, it would not match its signature
    if (!verified(request.headers, body)) {
      response.writeHead(401).end();
      return;
    }
    if (!seen.has(request.headers['webhook-id'])) { // a retry of what we have already
      seen.add(request.headers['webhook-id']);
      const event = JSON.parse(body);
      console.log(event.type, event.data.call_id ?? ''); // here: put it in a queue of your own
    }
    response.writeHead(204).end();
  });
}).listen(Number(process.argv[2]), '127.0.0.1');
