// Runs the example on all its deliveries against the real binary, as a user would.
// The binary is the one named by FLUX_BIN, else target/debug/flux of this repository.
import assert from 'node:assert/strict';
import {execFileSync, spawn} from 'node:child_process';
import {cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {after, before, test} from 'node:test';

import {createReceiver} from './receiver.mjs';
import {GITHUB_SECRET, send} from './send.mjs';

const here = import.meta.dirname;
const binary = process.env.FLUX_BIN ?? join(here, '../../target/debug/flux');
const deliveries = readdirSync(join(here, 'deliveries')).filter((name) => name.endsWith('.json')).sort();
const waits = deliveries.filter((name) => /^release\.(published|prereleased|deleted)|\.deleted\.|transferred/.test(name));

const receiver = createReceiver();
const project = mkdtempSync(join(tmpdir(), 'flux-triage-'));
let server;
let ready;

const flux = (...args) => {
  const all = [...args, '--json', '--server', ready.console, '--key', ready.key];
  return JSON.parse(execFileSync(binary, all, {cwd: project, encoding: 'utf8'}));
};
const api = async (path) => {
  const response = await fetch(`${ready.console}/api/v1${path}`, {headers: {authorization: `Bearer ${ready.key}`}});
  return response.json();
};
const delivery = (name) => join(here, 'deliveries', name);

before(async () => {
  await new Promise((listening) => receiver.server.listen(0, '127.0.0.1', listening));
  for (const part of ['flux.json', 'flows']) cpSync(join(here, part), join(project, part), {recursive: true});
  const file = join(project, 'flows/github-triage.json');
  const flow = JSON.parse(readFileSync(file, 'utf8'));
  flow.settings.vars.team_url = `http://127.0.0.1:${receiver.server.address().port}`;
  writeFileSync(file, JSON.stringify(flow));
  server = spawn(binary, ['dev', '--json', '--gateway', '127.0.0.1:0', '--console', '127.0.0.1:0'], {cwd: project});
  const lines = createInterface({input: server.stdout});
  ready = JSON.parse(await new Promise((line) => lines.once('line', line)));
  lines.resume();
  flux('secrets', 'set', 'github_secret', GITHUB_SECRET);
  flux('secrets', 'set', 'chat_token', 'chat-token-of-the-example');
});

after(() => {
  server?.kill('SIGTERM');
  receiver.server.close();
  rmSync(project, {recursive: true, force: true});
});

test('a delivery with a wrong signature is refused and starts nothing', async () => {
  const answer = await send(ready.gateway, delivery(deliveries[0]), {secret: 'another'});
  assert.equal(answer.status, 401);
  assert.equal(answer.body.code, 'signature_invalid');
  assert.deepEqual(await api('/executions').then((list) => list.items), []);
});

for (const name of deliveries) {
  test(`answers ${name}`, async () => {
    const answer = await send(ready.gateway, delivery(name));
    if (waits.includes(name)) {
      assert.equal(answer.status, 202);
      assert.equal(answer.body.status, 'waiting for sign-off');
    } else {
      assert.deepEqual([answer.status, answer.body.status], [200, 'announced']);
      assert.match(answer.body.message, /^msg-\d+$/);
    }
    assert.match(answer.headers.get('x-request-id'), /^[A-Za-z0-9._-]{1,128}$/);
  });
}

test('what needs no sign-off is announced once, the rest is not', () => {
  assert.equal(receiver.messages.size, deliveries.length - waits.length);
  assert.ok([...receiver.messages.values()].every((message) => message.deliveries === 1));
});

test('a delivery that GitHub repeats is the same execution', async () => {
  const before = receiver.messages.size;
  const answer = await send(ready.gateway, delivery('issues.opened.json'));
  assert.ok(answer.status === 200 || answer.status === 202, `status ${answer.status}`);
  assert.equal(receiver.messages.size, before);
  const {items} = await api('/executions?limit=200');
  assert.equal(items.length, deliveries.length);
});

test('reviews are decided from the command line and only then announced', async () => {
  const {items} = flux('review', 'list');
  assert.equal(items.length, waits.length);
  const [first, ...rest] = items;
  const before = receiver.messages.size;
  flux('review', 'reject', first.id, '--comment', 'not this one');
  for (const review of rest) flux('review', 'approve', review.id, '--comment', 'good to go');
  for (let tries = 0; tries < 200; tries += 1) {
    const {items: open} = await api('/executions?status=waiting,running,queued');
    if (open.length === 0) break;
    await new Promise((next) => setTimeout(next, 50));
  }
  assert.equal(receiver.messages.size, before + rest.length);
  assert.ok([...receiver.messages.values()].filter((message) => message.signed_off_by).length === rest.length);
  assert.throws(() => flux('review', 'approve', first.id), 'a decision stands');
});

test('every execution succeeded, has a trace, and no secret is in any journal', async () => {
  const {items} = await api('/executions?limit=200');
  assert.ok(items.every((execution) => execution.status === 'succeeded'), JSON.stringify(items.filter((e) => e.status !== 'succeeded')));
  for (const execution of items) {
    const journal = JSON.stringify(await api(`/executions/${execution.id}/journal`));
    assert.ok(!journal.includes('chat-token-of-the-example'), 'the chat token is in a journal');
    assert.ok(!journal.includes(GITHUB_SECRET), 'the signature secret is in a journal');
  }
  const trace = flux('trace', items[0].id);
  assert.ok(JSON.stringify(trace).includes('announce'), 'the trace shows the call');
});
