// Sends deliveries to the flow as GitHub does: signed, with event and delivery id in the headers.
//
//   node send.mjs deliveries/issues.opened.json [more files]
import {createHash, createHmac} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import {basename} from 'node:path';

export const GITHUB_SECRET = process.env.GITHUB_SECRET ?? 'github-secret-of-the-example';

export async function send(gateway, file, {secret = GITHUB_SECRET, delivery} = {}) {
  const body = await readFile(file);
  const event = basename(file).split('.')[0];
  const id = delivery ?? createHash('sha256').update(basename(file)).digest('hex').slice(0, 32);
  const signature = createHmac('sha256', secret).update(body).digest('hex');
  const response = await fetch(`${gateway}/hooks/github`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-github-event': event,
      'x-github-delivery': id,
      'x-hub-signature-256': `sha256=${signature}`,
    },
    body,
  });
  const text = await response.text();
  return {status: response.status, headers: response.headers, body: text ? JSON.parse(text) : null};
}

if (process.argv[1] === import.meta.filename) {
  const gateway = process.env.FLUX_GATEWAY ?? 'http://127.0.0.1:4000';
  for (const file of process.argv.slice(2)) {
    const {status, body} = await send(gateway, file, {delivery: process.env.DELIVERY});
    console.log(`${basename(file)}: ${status} ${JSON.stringify(body)}`);
  }
}
